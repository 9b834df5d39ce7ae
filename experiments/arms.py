"""Searches for a compression profile, each an experiment that spends a number of tokens.

All evaluated tokens count: starts, probes and re-scored parents too. Knows no model.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import partial
from itertools import pairwise
from math import comb

import numpy as np

from evolve import Experiment, Final, Genetic, Steady
from evolve.export.compressed import CompressedExporter
from evolve.genomes.compression.budget import Budget, file_bytes
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import BitGrid
from evolve.score import Fitness, Record
from evolve.search.generations import Generations
from evolve.search.playoff import Playoff
from evolve.search.probing import Probing
from evolve.search.protocol import Search
from evolve.search.stages import Staged
from evolve.search.surrogate import Surrogate
from evolve.variation import Operator
from experiments.influence import influence
from experiments.joint import block_sets, joint_start
from experiments.material.latency import latencies
from experiments.profiles import BUDGET, FEW, MANY, OFFSPRING, Mode, Study
from fitness.divergence import Divergence
from fitness.divergence.divergence import DIVERGENCE
from fitness.divergence.latency import Latencies
from fitness.join import Join
from fitness.profile_cost import ProfileCost
from operators.compression import (
    BudgetSwitch,
    Joint,
    LevelMix,
    LevelStep,
    LevelSwitch,
    PartStep,
    PartSwitch,
)
from operators.compression.solver import Losses, losses, output_errors, probes, solved
from operators.selection import NSGA3, Tournament, das_dennis
from operators.vector import Then

RANDOM, STARTS, FRONT = 32, 16, 24


class Option(StrEnum):
    """What ours adds to EvoPress's rules."""

    WARM = "warm"  # some probes, and the knapsack over their losses as one more founder
    TRADES = "trades"  # levels are traded across size classes too
    PAIRED = "paired"  # fixed nested samples, paired statistics, a playoff if the space is small
    SCREENED = "screened"  # a regression chooses among eight times the offspring


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


def faithful(
    study: Study, seed: int = 0, tokens: int = BUDGET, options: Collection[Option] = ()
) -> Experiment[CompressionProfile]:
    """EvoPress's rules: new samples at every stage, from uniform or the best of some random.

    `options` change that one by one; the comparison of options is made of this.
    """
    return _evolved(study, "_".join(["faithful", *options]), options, seed, tokens)


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
    """EvoPress's rules with all options.

    The joint case first searches the depth: sets of whole blocks, measured like probes.
    """
    start = "one random" if _over(study) else "uniform"
    first = len(_probes(study, dense=False)) + len(_sets(study))  # of two founders
    return replace(
        _evolved(study, "ours", tuple(Option), seed, tokens),
        final=Final(
            study.test,
            exporter=CompressedExporter(),
            births={start: first, "KL solver, few probes": first + 1},
        ),
    )


def front(
    study: Study, tokens: int = BUDGET, latency: Latencies | None = None
) -> Experiment[CompressionProfile]:
    """NSGA-III over KL and bytes, and `latency` if given: one run gives a profile for every size.

    Founders: every uniform profile, the knapsack over output errors at sizes in between, and
    where parts may go some profiles at the study's budget.
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
    costs = [size] if latency is None else [size, latency.cost(space)]
    parts: list[Fitness[CompressionProfile]] = [study.divergence(MANY), *map(ProfileCost, costs)]
    joined = Join(tuple(parts))
    steps: list[Operator[CompressionProfile]] = [LevelStep(0.05), *[PartStep()] * space.depth]
    some = study.random(STARTS // 2, 0) if space.depth else []
    divisions = FRONT - 1 if latency is None else 5

    def search() -> Genetic[CompressionProfile]:
        return Genetic(
            founders=[*ends, *between, *some],
            operators=[way for step in steps for way in (Then(LevelMix(), step), step)],
            selection=NSGA3(das_dennis(len(joined.objectives), divisions)),
            mating=Tournament(),
            objectives=joined.objectives,
            size=FRONT,
            pace=Steady(window=OFFSPRING),
        )

    name = f"{study.name}_{'front' if latency is None else 'latency'}"
    plan = [study.effort(tokens)]  # no size is too large
    return Experiment(name, search, joined, tokens // study.whole(MANY), plan=plan)


def searches(study: Callable[[Mode], Study]) -> tuple[Making, ...]:
    """bits, depth, sparsity, joint, size, latency: functions that make them when wanted."""

    def of(mode: Mode) -> Making:
        def made() -> Experiment[CompressionProfile]:
            chosen = study(mode)
            return replace(ours(chosen), plan=chosen.plan(BUDGET))

        return made

    def size() -> Experiment[CompressionProfile]:
        return front(study(Mode.BITS))

    def latency() -> Experiment[CompressionProfile]:
        chosen = study(Mode.JOINT)
        return front(chosen, latency=latencies(chosen.space.anatomy))

    return *(of(mode) for mode in Mode), size, latency


# --- below -------------------------------------------------------------------------------------


def features(profile: CompressionProfile) -> np.ndarray:
    """Levels one-hot, and what is removed."""
    space = profile.space
    table = np.zeros((len(space.units), int(space.n_levels.max())))
    table[np.arange(len(space.units)), profile.levels] = 1.0
    gone = 1.0 - np.concatenate([profile.attention, profile.mlp])
    return np.concatenate([table.ravel(), gone])


def _evolved(
    study: Study, arm: str, options: Collection[Option], seed: int, tokens: int
) -> Experiment[CompressionProfile]:
    """A (1 + lambda) search in two stages with some of the options."""
    paired = Option.PAIRED in options
    many_starts = study.mode is Mode.DEPTH and not paired
    starts = _starts(study, seed, STARTS if many_starts else 1)
    warm = Option.WARM in options
    found = _probes(study, dense=False) if warm else []
    first = len(found) + len(_sets(study))
    founders = len(starts) + warm
    layout = Generations(founders, OFFSPRING, (1, 1), fresh=not paired, start=many_starts)
    left = tokens - first * study.whole(FEW) - founders * (FEW if many_starts else MANY)
    n, finalists = _generations(left, OFFSPRING * FEW + 2 * MANY), 0
    if paired:
        n, finalists = _generations_and_finalists(study, left)
    births = first + layout.births(n)
    screens = n if finalists and study.mode is not Mode.DEPTH else 0

    def staged(start: Profiles, records: Records) -> Staged[CompressionProfile]:
        def screen() -> Surrogate[CompressionProfile]:
            made = Surrogate(features, DIVERGENCE, pool=8, boldness=0.7)
            made.learn(records)
            return made

        return Staged(
            founders=[*starts, *start],
            operators=_switches(study, trades=Option.TRADES in options),
            objective=DIVERGENCE,
            offspring=OFFSPRING,
            survivors=(1, 1),
            fresh=not paired,
            start=many_starts,
            paired=paired,
            screen=screen if Option.SCREENED in options else None,
            screens=screens,
        )

    def then(records: Records) -> Search[CompressionProfile]:
        table = _table(study, records)
        if study.mode is not Mode.JOINT:
            return staged([solved(table, study.budget)], records)
        return Probing(
            block_sets(table),
            lambda tried: staged(
                [joint_start(table, study.budget, records, tried)], [*records, *tried]
            ),
        )

    def search() -> Search[CompressionProfile]:
        inner = Probing(found, then) if warm else staged([], ())
        if not finalists:
            return inner
        return Playoff(inner, DIVERGENCE, births=births, n=finalists, rung=len(rungs) - 1)

    rungs = [*[FEW] * max(1, screens), MANY, *[study.text.size] * bool(finalists)]
    if not paired:
        rungs = [*[FEW] * many_starts, *[FEW, MANY] * n][: layout.rungs(n)]
    places = (*_blocks(study, screens), 0, 0) if screens else ()
    fitness = study.divergence(*rungs, fresh=not paired, starts=places)
    return experiment(study, arm, search, fitness, births + finalists)


def _blocks(study: Study, n: int) -> list[int]:
    """Where the sequences of `n` first stages begin: behind those of the second, in turn."""
    few, many = study.sequences(FEW), study.sequences(MANY)
    return [many + few * (i % ((len(study.text) - many) // few)) for i in range(n)]


def _starts(study: Study, seed: int, n: int) -> list[CompressionProfile]:
    """Where a search begins: the uniform profile, or `n` random ones where that is too dear."""
    return study.random(n, seed) if _over(study) else [study.uniform]


def _over(study: Study) -> bool:
    """Whether the uniform profile breaks the budget."""
    return study.mode in (Mode.DEPTH, Mode.JOINT)


def _switches(study: Study, *, trades: bool = True) -> list[Operator[CompressionProfile]]:
    """`trades`: across size classes too."""
    if study.mode is Mode.DEPTH:
        return [PartSwitch(study.budget)]
    moves: list[Operator[CompressionProfile]] = [LevelSwitch(study.budget)]
    if trades:
        moves.append(BudgetSwitch(study.budget))
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


def _sets(study: Study) -> list[CompressionProfile]:
    """The depths that the joint case tries first; which ones, the probes will say."""
    return block_sets(_table(study, ())) if study.mode is Mode.JOINT else []


def _table(study: Study, records: Records) -> Losses:
    prior = None if study.mode is Mode.DEPTH else output_errors(study.space)
    return losses(study.uniform, records, DIVERGENCE, prior)


def _generations_and_finalists(study: Study, left: int) -> tuple[int, int]:
    """Generations within `left` tokens, and up to 16 finalists if the space is small for that.

    Small: a depth search has tried every profile, others had half as many generations as units.
    """
    each, dear = OFFSPRING * FEW + MANY, study.text.size - MANY
    if study.mode is Mode.DEPTH:
        profiles = comb(study.space.n_blocks, study.removed) ** 2
        n = min(_generations(left, each), -(-profiles // OFFSPRING))
        left -= min(profiles, n * OFFSPRING) * study.whole(FEW) + n * MANY
        return n, min(OFFSPRING, max(0, left) // dear)
    enough = min(_generations(left, each), max(1, len(study.space.units) // 2))
    finalists = min(OFFSPRING, max(0, left - enough * each) // dear)
    return _generations(left - finalists * dear, each), finalists


def _generations(left: int, each: int) -> int:
    return max(1, left // each)
