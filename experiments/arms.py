"""Searches for a compression profile, each an experiment that spends a number of tokens.

All evaluated tokens count: starts, probes and re-scored parents too. Knows no model.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from math import comb

import numpy as np

from evolve import Experiment, Final, Genetic, Steady
from evolve.export.compressed import CompressedExporter
from evolve.genomes.compression.budget import Budget, file_bytes
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import BitGrid
from evolve.score import Record
from evolve.search.generations import Generations
from evolve.search.playoff import Playoff
from evolve.search.probing import Probing
from evolve.search.protocol import Search
from evolve.search.stages import Staged
from evolve.search.surrogate import Surrogate
from evolve.variation import Operator
from experiments.influence import influence
from experiments.joint import block_sets, joint_start
from experiments.profiles import BUDGET, FEW, MANY, OFFSPRING, Mode, Study
from fitness.divergence import Divergence
from fitness.divergence.divergence import DIVERGENCE
from fitness.join import Join
from fitness.profile_cost import ProfileCost
from operators.compression import (
    BudgetSwitch,
    Joint,
    LevelMix,
    LevelStep,
    LevelSwitch,
    PartSwitch,
)
from operators.compression.solver import Losses, losses, output_errors, probes, solved
from operators.selection import NSGA3, Tournament, das_dennis
from operators.vector import Then

RANDOM, STARTS, FRONT = 32, 16, 24

Profiles = Sequence[CompressionProfile]
Records = Sequence[Record[CompressionProfile]]
Making = Callable[[], Experiment[CompressionProfile]]


def experiment(
    study: Study,
    arm: str,
    search: Callable[[], Search[CompressionProfile]],
    fitness: Divergence,
    births: int,
    final: Final[CompressionProfile] | None = None,
) -> Experiment[CompressionProfile]:
    """The experiment `arm` of `study`."""
    name = f"{study.name}_{study.mode}_{arm}"
    return Experiment(name, search, fitness, births, final=final)


# --- the arms ----------------------------------------------------------------------------------


def best_of_random(study: Study, seed: int = 0) -> Experiment[CompressionProfile]:
    """The best of 32 random profiles."""

    def search() -> Staged[CompressionProfile]:
        return Staged(
            founders=study.random(RANDOM, seed),
            operators=_switches(study),
            objective=DIVERGENCE,
            offspring=OFFSPRING,
        )

    return experiment(study, "random", search, study.divergence(MANY), RANDOM)


def one_shot(study: Study) -> tuple[CompressionProfile, int]:
    """The knapsack over the levels' output errors, or the parts with the least influence.

    Influence: 1 - cosine of the hidden states before and after a part is added (ShortGPT, Men et
    al. 2024), on the text of one stage; these tokens count. Output errors are the database's.
    """
    if study.mode is not Mode.DEPTH:
        table = Losses(study.uniform, output_errors(study.space), (), ())
        return solved(table, study.budget), 0
    tokens = study.text[: study.sequences(MANY)]
    attention, mlp = influence(study.space.anatomy, tokens)
    table = Losses(study.uniform, ((0.0,),) * len(study.space.units), attention, mlp)
    return solved(table, study.budget), tokens.size


def faithful(study: Study, seed: int = 0, tokens: int = BUDGET) -> Experiment[CompressionProfile]:
    """EvoPress's rules: new samples at every stage, from uniform or the best of some random."""
    starts = study.random(STARTS, seed) if study.mode is Mode.DEPTH else [study.uniform]
    few = study.mode is Mode.DEPTH
    layout = Generations(len(starts), OFFSPRING, (1, 1), fresh=True, start=few)
    spent = FEW * len(starts) if few else MANY
    n = _generations(tokens - spent, OFFSPRING * FEW + 2 * MANY)
    switch = PartSwitch if study.mode is Mode.DEPTH else LevelSwitch

    def search() -> Staged[CompressionProfile]:
        return Staged(
            founders=starts,
            operators=[switch(study.budget)],
            objective=DIVERGENCE,
            offspring=OFFSPRING,
            survivors=(1, 1),
            fresh=True,
            start=few,
        )

    rungs = [FEW] * few + [FEW, MANY] * n
    fitness = study.divergence(*rungs[: layout.rungs(n)], fresh=True)
    return experiment(study, "faithful", search, fitness, layout.births(n))


def solver(study: Study) -> Experiment[CompressionProfile]:
    """Every unit moved alone, then the profile that would be best if losses added up."""
    found = _probes(study, dense=True)
    tokens = MANY if study.mode is Mode.DEPTH else FEW

    def then(records: Records) -> Staged[CompressionProfile]:
        table = losses(study.uniform, records, DIVERGENCE)
        return Staged(
            founders=[solved(table, study.budget)],
            operators=_switches(study),
            objective=DIVERGENCE,
            offspring=OFFSPRING,
        )

    return experiment(
        study, "solver", partial(Probing, found, then), study.divergence(tokens), len(found) + 1
    )


def ours(study: Study, seed: int = 0, tokens: int = BUDGET) -> Experiment[CompressionProfile]:
    """Some probes and the solver, then switches that a regression screens, on fixed samples.

    The joint case first searches the depth: sets of whole blocks, measured like probes. What a
    space of few profiles leaves of the tokens goes into a playoff on all of the text.
    """
    found = _probes(study, dense=False)
    sets = block_sets(_table(study, ())) if study.mode is Mode.JOINT else []
    layout = Generations(2, OFFSPRING, (1, 1), fresh=False, start=False)
    first = len(found) + len(sets)
    n, finalists = _generations_and_finalists(study, tokens - first * study.whole(FEW) - 2 * MANY)
    births = first + layout.births(n)
    rungs = [FEW, MANY, study.text.size] if finalists else [FEW, MANY]

    def staged(start: CompressionProfile, records: Records) -> Staged[CompressionProfile]:
        def screen() -> Surrogate[CompressionProfile]:
            made = Surrogate(features, DIVERGENCE, pool=8, boldness=0.7)
            made.learn(records)
            return made

        return Staged(
            founders=[_start(study, seed), start],
            operators=_switches(study),
            objective=DIVERGENCE,
            offspring=OFFSPRING,
            survivors=(1, 1),
            paired=True,
            screen=screen,
        )

    def then(records: Records) -> Search[CompressionProfile]:
        table = _table(study, records)
        if study.mode is not Mode.JOINT:
            return staged(solved(table, study.budget), records)
        return Probing(
            block_sets(table),
            lambda tried: staged(
                joint_start(table, study.budget, records, tried), [*records, *tried]
            ),
        )

    def search() -> Search[CompressionProfile]:
        inner = Probing(found, then)
        if not finalists:
            return inner
        return Playoff(inner, DIVERGENCE, births=births, n=finalists, rung=2)

    return experiment(
        study,
        "ours",
        search,
        study.divergence(*rungs),
        births + finalists,
        Final(
            study.test,
            {"one random" if _over(study) else "uniform": [_start(study, seed)]},
            CompressedExporter(),
            {"KL solver, few probes": first + 1},  # the second founder
        ),
    )


def front(study: Study) -> Experiment[CompressionProfile]:
    """NSGA-III over KL and bytes: one run gives a profile for every size.

    Founders: every uniform profile, and the knapsack over output errors at sizes in between.
    """
    space, grid = study.space, study.space.grid
    assert isinstance(grid, BitGrid), "a front of bits"
    size = file_bytes(space)
    ends = [CompressionProfile.uniform(space, bits=bits) for bits in grid.bits]
    table = Losses(study.uniform, output_errors(space), (), ())
    between = [
        solved(
            table, Budget(space, size, round(share * size.of(high) + (1 - share) * size.of(low)))
        )
        for low, high in pairwise(ends)
        for share in (1 / 3, 2 / 3)
    ]
    joined = Join((study.divergence(MANY), ProfileCost(size)))

    def search() -> Genetic[CompressionProfile]:
        return Genetic(
            founders=[*ends, *between],
            operators=[Then(LevelMix(), LevelStep(0.05)), LevelStep(0.05)],
            selection=NSGA3(das_dennis(n_objectives=2, divisions=FRONT - 1)),
            mating=Tournament(),
            objectives=joined.objectives,
            size=FRONT,
            pace=Steady(window=OFFSPRING),
        )

    name = f"{study.name}_front"
    plan = [study.effort(BUDGET)]  # no size is too large
    return Experiment(name, search, joined, BUDGET // study.whole(MANY), plan=plan)


def searches(study: Callable[[Mode], Study]) -> tuple[Making, Making, Making, Making, Making]:
    """bits, depth, sparsity, joint, size: functions that make them when they are wanted."""

    def of(mode: Mode) -> Making:
        def made() -> Experiment[CompressionProfile]:
            chosen = study(mode)
            return replace(ours(chosen), plan=chosen.plan(BUDGET))

        return made

    def size() -> Experiment[CompressionProfile]:
        return front(study(Mode.BITS))

    return of(Mode.BITS), of(Mode.DEPTH), of(Mode.SPARSITY), of(Mode.JOINT), size


# --- below -------------------------------------------------------------------------------------


def features(profile: CompressionProfile) -> np.ndarray:
    """Levels one-hot, and what is removed."""
    space = profile.space
    table = np.zeros((len(space.units), int(space.n_levels.max())))
    table[np.arange(len(space.units)), profile.levels] = 1.0
    gone = 1.0 - np.concatenate([profile.attention, profile.mlp])
    return np.concatenate([table.ravel(), gone])


def _start(study: Study, seed: int) -> CompressionProfile:
    return study.random(1, seed)[0] if _over(study) else study.uniform


def _over(study: Study) -> bool:
    """Whether the uniform profile breaks the budget."""
    return study.mode in (Mode.DEPTH, Mode.JOINT)


def _switches(study: Study) -> list[Operator[CompressionProfile]]:
    if study.mode is Mode.DEPTH:
        return [PartSwitch(study.budget)]
    moves: list[Operator[CompressionProfile]] = [
        LevelSwitch(study.budget),
        BudgetSwitch(study.budget),
    ]
    return [*moves, Joint(study.budget)] if study.mode is Mode.JOINT else moves


def _probes(study: Study, *, dense: bool) -> list[CompressionProfile]:
    """`dense`: enough to do without a prior."""
    if study.mode is Mode.DEPTH:
        return probes(study.uniform, levels=(), parts=True)
    joint = study.mode is Mode.JOINT
    if not dense:
        return probes(study.uniform, levels=(0,), parts=joint)
    some = (0, 3, -4, -1) if study.mode is Mode.SPARSITY else None
    return probes(study.uniform, levels=some, parts=joint)


def _table(study: Study, records: Records) -> Losses:
    prior = None if study.mode is Mode.DEPTH else output_errors(study.space)
    return losses(study.uniform, records, DIVERGENCE, prior)


def _generations_and_finalists(study: Study, left: int) -> tuple[int, int]:
    """Generations of ours within `left` tokens, and finalists for what the profiles leave."""
    n = _generations(left, OFFSPRING * FEW + MANY)
    if study.mode is not Mode.DEPTH:
        return n, 0
    profiles = comb(study.space.n_blocks, study.removed) ** 2
    n = min(n, -(-profiles // OFFSPRING))
    left -= min(profiles, n * OFFSPRING) * study.whole(FEW) + n * MANY
    return n, max(0, left // (study.text.size - MANY))


def _generations(left: int, each: int) -> int:
    return max(1, left // each)
