"""What the driver packs for its workers: the experiment's code and its pickled fitnesses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evolve.engine.cluster.evaluator import Luggage, home
from evolve.engine.snapshot import Snapshot
from evolve.engine.unfold import own_sha256
from evolve.errors import WorkerError
from evolve.score import Fitness


def packed_for(fitnesses: Sequence[Fitness[Any]], code: Snapshot) -> Luggage:
    """The luggage of one run. Raises `WorkerError` for what cannot be pickled."""
    import ray.cloudpickle

    dumps: Any = ray.cloudpickle.dumps
    try:
        pickled = bytes(dumps(tuple(fitnesses)))
    except Exception as error:  # a user's __reduce__ may raise anything
        raise WorkerError(
            f"The fitness cannot be sent to workers ({type(error).__name__}: {error}); hold what "
            "rebuilds it (a path, a name) and load the rest at its first use."
        ) from error
    return Luggage(code.archive, code.sha256, code.roots, own_sha256(), home(), pickled)
