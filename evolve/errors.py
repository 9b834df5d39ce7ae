"""Every error a user can meet. Each says what came, what was expected, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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


class ChatDeclined(ChatError):
    """The endpoint answers, and declines this request: it would decline it again."""


class Halt(EvolveError):
    """Nothing more can be done until somebody acts: a run stops cleanly, and can be resumed."""


class BudgetSpent(Halt):
    """The next request to a language model could pass the cap on tokens or cost."""


class ChatForbidden(Halt):
    """The endpoint knows neither the key nor the model: it declines every request."""


class IsolationError(Halt):
    """This machine cannot isolate evolved code as far as was required."""


class Infertile(EvolveError):
    """An operator found no child for these parents; the search tries other parents.

    `facts`: what the attempt is worth telling, such as tokens that it took (JSON).
    """

    def __init__(self, reason: str, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.facts = dict(facts or {})
