"""Any Optuna sampler as a search (TPE, CMA-ES, GP, NSGA-II ...). Knows no operator.

Every ask builds a fresh sampler, seeded by the birth's own generator, over the told trials: the
search keeps no sampler and no generator. What the sampler writes (CMA-ES: its whole state,
pickled, once a generation; NSGA-II: generation numbers) travels in `Proposal.facts` and comes
back at tell. CMA-ES's pickle holds memory that cmaes 0.13 never wrote, so these facts may differ
between equal runs; genomes do not. Samplers that count their asks (`QMCSampler`, `GridSampler`)
want `window=1`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from evolve.archive.front import Front
from evolve.errors import ExperimentError
from evolve.genome import Json
from evolve.genomes.vector import VectorLike
from evolve.score import Objective, Record, costs
from evolve.search.protocol import Proposal

if TYPE_CHECKING:
    from optuna.distributions import FloatDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

V = TypeVar("V", bound=VectorLike)


def gene_names(d: int) -> tuple[str, ...]:
    """What Optuna calls the `d` genes; it sorts by name, so they are padded to keep the order."""
    digits = len(str(d - 1))
    return tuple(f"gene{i:0{digits}d}" for i in range(d))


class OptunaSearch(Generic[V]):
    """Optuna on the genes of `template`: steady state, `window` births in flight at most.

    `sampler`: from a seed in [0, 2**32) to a new sampler. `founders` are the first births and
    are told to the sampler like any other. A failed evaluation is a FAIL trial; violations, once
    one is above 0, are given as Optuna constraints. The sampler sees costs, all minimised.
    An ask costs what the sampler does on the told trials, plus O(told) to list them.
    """

    def __init__(
        self,
        sampler: Callable[[int], BaseSampler],
        template: V,
        objectives: Sequence[Objective],
        window: int = 1,
        founders: Sequence[V] = (),
    ) -> None:
        if window < 1:
            raise ExperimentError(f"OptunaSearch.window is {window}; give 1 or more.")
        if not objectives:
            raise ExperimentError("OptunaSearch has no objectives; give the fitness's.")
        for founder in founders:
            if founder.box.size != template.box.size:
                raise ExperimentError(
                    f"A founder has {founder.box.size} genes, the template {template.box.size}; "
                    "give founders of the template's box."
                )
        self._sampler = sampler
        self._template = template
        self._objectives = tuple(objectives)
        self._window = window
        self._founders = tuple(founders)
        self._names = gene_names(template.box.size)
        self._trials: list[FrozenTrial] = []
        self._violations: list[float | None] = []
        self._study_attrs: dict[str, Json] = {}
        self._front: Front[V] = Front(self._objectives)

    def seen(self, birth: int) -> int:
        return max(0, birth - self._window + 1)

    def ask(self, birth: int, rng: np.random.Generator) -> Proposal[V]:
        if birth < len(self._founders):
            return Proposal(self._founders[birth])
        from optuna.study import Study

        from evolve.search.library.scratch import NAME, Scratch

        scratch = Scratch(self._trials, len(self._objectives), self._study_attrs)
        sampler = self._sampler(int(rng.integers(2**32)))
        trial = Study(NAME, scratch, sampler=sampler).ask()
        genes = [
            trial.suggest_float(name, distribution.low, distribution.high)
            for name, distribution in self._distributions().items()
        ]
        study_attrs = {
            key: value
            for key, value in scratch.study_attrs.items()
            if key not in self._study_attrs or self._study_attrs[key] != value
        }
        return Proposal(
            genome=self._template.at(np.array(genes)),
            operator=type(sampler).__name__,
            facts={"trial": scratch.running.system_attrs, "study": study_attrs},
        )

    def tell(self, record: Record[V], rng: np.random.Generator) -> None:
        from evolve.search.library.scratch import finished

        self._front.add(record)
        failed = record.score.error is not None
        row = None if failed else costs([record.score], self._objectives)[0].tolist()
        # The genes that were scored: `at` may have moved them to a grid.
        params = dict(zip(self._names, record.genome.values.tolist(), strict=True))
        attrs = _mapping(record.facts, "trial")
        trial = finished(len(self._trials), params, self._distributions(), row, attrs)
        self._trials.append(trial)
        self._study_attrs.update(_mapping(record.facts, "study"))
        self._constrain(None if failed else float(record.score.violation))

    @property
    def elites(self) -> Sequence[Record[V]]:
        return tuple(self._front.records)

    def _distributions(self) -> dict[str, FloatDistribution]:
        from optuna.distributions import FloatDistribution

        box = self._template.box
        bounds = zip(self._names, box.low.tolist(), box.high.tolist(), strict=True)
        return {name: FloatDistribution(low, high) for name, low, high in bounds}

    def _constrain(self, violation: float | None) -> None:
        """Give the newest trial its constraint; from the first violation on, every trial."""
        constrained = any(old for old in self._violations)
        self._violations.append(violation)
        if constrained or violation:
            start = len(self._trials) - 1 if constrained else 0
            for trial, each in zip(self._trials[start:], self._violations[start:], strict=True):
                if each is not None:
                    trial.set_constraint("violation", each)


def _mapping(facts: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    """The mapping at `key`, empty for a record that no sampler proposed."""
    found = facts.get(key, {})
    return found if isinstance(found, Mapping) else {}
