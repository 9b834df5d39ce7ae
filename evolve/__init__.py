"""evolve: evolutionary search over model weights, compression profiles and architectures.

Importing it is instant: torch, ray and transformers load where they are used.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from evolve.errors import EvolveError
from evolve.experiment import Experiment, Exporter, Final, Free, Ordered
from evolve.failure import Failure, Policy
from evolve.genome import Genome, Packed
from evolve.score import Fitness, G, Needs, Objective, Record, Score
from evolve.search.genetic import Generational, Genetic, Steady
from evolve.store.run import Run
from evolve.variation import Mating, Operator, Selection

__all__ = [
    "Experiment", "Final", "Exporter", "Ordered", "Free", "Failure", "Policy",
    "Genetic", "Steady", "Generational",
    "Genome", "Packed", "Fitness", "Needs", "Objective", "Record", "Score",
    "Mating", "Operator", "Selection", "EvolveError", "Run", "run", "load", "guard",
]  # fmt: skip


def guard() -> None:
    """Raise `ImportError` if another `operators` or `fitness` package shadows ours."""
    home = Path(__file__).resolve().parent.parent
    for name in ("operators", "fitness"):
        spec = importlib.util.find_spec(name)
        places = [
            Path(place).resolve() for place in (spec and spec.submodule_search_locations) or []
        ]
        if home / name not in places:
            found = places[0] if places else (spec and spec.origin) or "nothing"
            raise ImportError(
                f"`import {name}` finds {found}, not evolve's own package {home / name}; "
                f"rename your {name!r}, or move it out of the folder of the experiment."
            )


def run(
    experiment: Experiment[G],
    out: str | Path,
    *,
    workers: int = 0,
    address: str | None = None,
    resume: bool = False,
    elastic: bool = False,
    backup: str | None = None,
    vault: str | None = None,
) -> Run[G]:
    """Run `experiment` to its last birth, in the new directory `out`; returns the run.

    `workers`: 0 evaluates in this process; n > 0 in n Ray workers, on this machine or at
    `address` ("auto" or "HOST:PORT"). `resume`: go on with the run in `out`, to
    `experiment.births`. `elastic`: nodes that can hold workers may come later. `backup`: a
    directory or fsspec URL to which the run is copied while it goes. `vault`: one for the large
    arrays of a new run. Raises `EvolveError` before any work if something does not fit.
    """
    from evolve.engine.hire import Options
    from evolve.engine.run import conduct

    return conduct(
        experiment,
        Path(out),
        Options(workers, address, elastic, backup, vault),
        resume=resume,
        births=experiment.births if resume else None,
    )


def load(path: str | Path) -> Run[Genome]:
    """The run in directory `path`, to be read. Raises `StoreError`."""
    return Run.at(Path(path))


guard()
