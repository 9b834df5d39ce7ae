"""Every error a user can meet. Each says what came, what was expected, and what to do."""


class EvolveError(Exception):
    """Base of all errors raised on purpose; the command line prints it without a traceback."""


class ExperimentError(EvolveError):
    """The experiment file or its parts cannot be run as given."""


class CheckpointError(EvolveError):
    """A checkpoint is missing, unreadable, or does not fit the others."""


class GenomeError(EvolveError):
    """A genome's values are outside what its kind allows."""


class FitnessError(EvolveError):
    """A fitness returned something that is not a score, or is declared wrongly."""


class StoreError(EvolveError):
    """A run directory is missing, locked, truncated, full, or from another version."""


class WorkerError(EvolveError):
    """Workers cannot be started, or cannot serve this experiment."""


class ExportError(EvolveError):
    """A winner cannot be written in the form asked for."""


class ChatError(EvolveError):
    """A language model's endpoint gave no usable answer in its time."""


class BudgetSpent(EvolveError):
    """The next request to a language model could pass the cap on tokens or cost."""


class IsolationError(EvolveError):
    """This machine cannot isolate evolved code as far as was required."""


class Infertile(EvolveError):
    """An operator found no child for these parents; the search tries other parents."""
