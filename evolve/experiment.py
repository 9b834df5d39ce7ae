"""An experiment as one typed value. Knows neither how it is stored nor where it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol

from evolve.errors import ExperimentError
from evolve.failure import Policy
from evolve.score import Fitness, Foretelling, G, Record
from evolve.search.protocol import Search, window_of


@dataclass(frozen=True)
class Ordered:
    """Scores commit in birth order: the same run for any workers, timing or kill."""


@dataclass(frozen=True)
class Free:
    """Scores commit as they come: faster for uneven work; replayable, not repeatable."""


class Exporter(Protocol[G]):
    """Writes an expressed winner as what other tools load."""

    def export(self, record: Record[G], to: Path, story: Mapping[str, str]) -> None:
        """Write `record` into the new directory `to`: whole, or not at all.

        `story`: markdown sections by title (objectives, lineage, fingerprint) for the card.
        Raises `ExportError`.
        """
        ...


class Watcher(Protocol):
    """Looks on while a run goes; changes nothing."""

    def started(self, experiment: Experiment[Any], births: int) -> None:
        """Work begins; the run ends when `births` are told."""
        ...

    def resumed(self, told: int, elites: Sequence[Record[Any]]) -> None:
        """The run goes on: `told` records were told before.

        `elites`: the best of them, and those that `Final.births` names.
        """
        ...

    def told(self, record: Record[Any]) -> None:
        """A record was told."""
        ...

    def says(self, words: str) -> None:
        """A line for people: what begins now."""
        ...


@dataclass(frozen=True)
class Final(Generic[G]):
    """What happens once, after the last birth: the sealed test.

    `fitness` scores on the test split. `baselines`: by name, candidates of which the one with
    the smallest summed cost on the experiment's own fitness is tested. `births`: by name, births
    of the run that are tested as baselines, too. `exporter` writes the knee of the front to
    `export` in the run directory.
    """

    fitness: Fitness[G]
    baselines: Mapping[str, Sequence[G]] = field(default_factory=dict)
    exporter: Exporter[G] | None = None
    births: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment(Generic[G]):
    """Everything that makes a run: the recipe of a search, a fitness, a budget, a seed.

    `policy`: how often a birth is tried again, by the kind of its failure. `plan`: lines for
    people, printed before any work.
    """

    name: str
    search: Callable[[], Search[G]]
    fitness: Fitness[G]
    births: int
    seed: int = 0
    order: Ordered | Free = Ordered()
    final: Final[G] | None = None
    policy: Policy = field(default_factory=Policy)
    plan: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.births < 1:
            raise ExperimentError(f"Experiment.births is {self.births}; give 1 or more.")
        if self.seed < 0:
            raise ExperimentError(f"Experiment.seed is {self.seed}; give 0 or more.")
        if not callable(self.search):
            raise ExperimentError(
                f"Experiment.search is {self.search!r}; give a function that builds the search "
                "anew, e.g. `lambda: Genetic(...)`, so that a run can be resumed."
            )

    def foretold(self) -> list[str]:
        """Lines that say before any work what it will be: the fitness's, and `plan`."""
        said = self.fitness.plan() if isinstance(self.fitness, Foretelling) else ()
        return [*said, *self.plan]

    def window(self) -> int:
        """How many births may be in flight at once: a number of the experiment."""
        return window_of(self.search())
