"""Evaluations until the best depth profile of stories15M is found: ours, EvoPress, random.

    python -m experiments.benchmarks.depth_search [--seeds 50] [--out runs/depth_search]

k attentions and k MLPs of 6 each are removed, k = 1, 2, 3: 36, 225 and 400 profiles. First the
whole table: KL to the dense model on 1,152 tokens of its own samples, full vocabulary, kept below
`--out`. Then every search runs on the table until it first evaluates the optimum; counted are the
different profiles that it evaluated until then, founders too.

Random: without replacement. Faithful: EvoPress's depth search at lambda = 8, survivors 2 and 1,
from one random profile, and from its 64 random founders; a profile that it evaluates again is
counted once. Ours: the same mutation and as many random profiles, screened by a ridge regression
on what is removed, on fixed samples, nothing evaluated twice. Its four numbers were chosen on
seeds 0 to 19 and another text; the seeds here are 100 and on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np

from evolve.genome import digest
from evolve.genomes.compression.budget import Budget
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import ProfileSpace
from evolve.score import Objective, Record, Score
from evolve.search.protocol import Proposal, Search
from evolve.search.stages import Staged
from evolve.search.surrogate import Surrogate
from evolve.streams import Stream, rng_for
from operators.compression import Anew, PartSwitch, random_profile

SEEDS = range(100, 150)
KS = (1, 2, 3)
TEXT = (9, 128)  # sequences, tokens
KL = Objective("KL")
MOST = 20_000  # births before a search is given up
OFFSPRING, FOUNDERS, POOL, BOLDNESS = 4, 4, 16, 0.7  # ours

Table = Mapping[str, float]  # KL by digest
Making = Callable[[Budget, int], Search[CompressionProfile]]


def profiles(space: ProfileSpace, k: int) -> list[CompressionProfile]:
    """Every profile with k attentions and k MLPs removed."""
    n = space.n_blocks
    masks = [np.isin(range(n), gone, invert=True) for gone in combinations(range(n), k)]
    levels = np.zeros(len(space.units))
    return [CompressionProfile.at(space, levels, a, m) for a in masks for m in masks]


def table(space: ProfileSpace, tokens: np.ndarray, ks: Sequence[int], folder: Path) -> Table:
    """KL of every profile by digest, read from `folder` or measured, some at a time."""
    from fitness.divergence import Divergence

    fitness = Divergence(space, tokens, top_k=0, batch=36)
    text = hashlib.sha256(tokens.tobytes()).hexdigest()[:12]
    file = folder / f"{space.anatomy.source.digest[:12]}-{text}.json"
    known: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}
    named = {digest(each): each for k in ks for each in profiles(space, k)}
    left = [name for name in named if name not in known]
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(left), fitness.batch):
        names = left[start : start + fitness.batch]
        scores = fitness.evaluate([named[name] for name in names], 0, 0)
        known |= {name: score.values[0] for name, score in zip(names, scores)}
        file.write_text(json.dumps(known))
        print(f"table: {len(known)} of {len(named)}", flush=True)
    return known


def faithful(budget: Budget, seed: int, founders: int = 1) -> Staged[CompressionProfile]:
    """EvoPress's depth search: every stage scores anew, the parent too."""
    return Staged(
        founders=_random(budget, seed, founders),
        operators=[PartSwitch(budget)],
        objective=KL,
        offspring=8,
        survivors=(2, 1),
        fresh=True,
        start=founders > 1,
    )


def ours(budget: Budget, seed: int) -> Staged[CompressionProfile]:
    """Switches of the best so far and random profiles, those kept that look best."""
    return Staged(
        founders=_random(budget, seed, FOUNDERS),
        operators=[PartSwitch(budget), Anew(budget)],
        objective=KL,
        offspring=OFFSPRING,
        screen=partial(
            Surrogate, removed, KL, pool=POOL, boldness=BOLDNESS, logarithm=True, least=FOUNDERS
        ),
    )


def removed(profile: CompressionProfile) -> np.ndarray:
    """(2 n_blocks,): 1 for what is removed."""
    return 1.0 - np.concatenate([profile.attention, profile.mlp])


def evaluations(search: Search[CompressionProfile], known: Table, best: str, seed: int) -> int:
    """How many different profiles `search` evaluates up to the one called `best`."""
    records: list[Record[CompressionProfile]] = []
    met: set[str] = set()
    told = 0
    for birth in range(MOST):
        due = search.seen(birth)
        for record in records[told:due]:
            search.tell(record, rng_for(seed, record.birth, Stream.TELL))
        told = due
        found = search.ask(birth, rng_for(seed, birth, Stream.ASK))
        assert isinstance(found, Proposal), "these searches plan nothing"
        name = digest(found.genome)
        met.add(name)
        if name == best:
            return len(met)
        score = Score((known[name],))
        records.append(
            Record(birth, found.genome, name, score, found.rung, found.parents, found.operator)
        )
    raise RuntimeError(f"The optimum was not found in {MOST} births of seed {seed}.")


def compare(
    space: ProfileSpace, known: Table, k: int, seeds: Sequence[int]
) -> dict[str, np.ndarray]:
    """Evaluations to the optimum by search, one a seed."""
    budget = Budget(space, removed=(k, k))
    names = [digest(each) for each in profiles(space, k)]
    best = min(names, key=known.__getitem__)
    sides: dict[str, Making] = {
        "faithful, 64 founders": partial(faithful, founders=64),
        "faithful, 1 founder": faithful,
        "ours": ours,
    }
    found = {"random": np.array([_place(names, best, seed) for seed in seeds])}
    for side, make in sides.items():
        counts = [evaluations(make(budget, seed), known, best, seed) for seed in seeds]
        found[side] = np.array(counts)
    return found


def report(k: int, n: int, found: Mapping[str, np.ndarray]) -> list[str]:
    """Rows of markdown, and whether the goals are met."""
    rows = [
        f"| {k} | {n} | {side} | {counts.mean():.1f} | {np.median(counts):.0f} | {counts.max()} |"
        for side, counts in found.items()
    ]
    own, theirs = found["ours"].mean(), found["faithful, 1 founder"].mean()
    half = found["random"].mean() / 2
    verdict = f"ours <= faithful: {own <= theirs}; ours <= random / 2: {own <= half}"
    return [*rows, f"k = {k}: {verdict}{' (not asked of k = 1)' if k == 1 else ''}"]


def _place(names: Sequence[str], best: str, seed: int) -> int:
    order = rng_for(seed, 0, Stream.VARY).permutation(len(names))
    return 1 + int(np.flatnonzero(order == names.index(best))[0])


def _random(budget: Budget, seed: int, n: int) -> list[CompressionProfile]:
    """The founders of `seed`: every search's first n are the same."""
    rng = rng_for(seed, 0, Stream.MASK)
    return [random_profile(budget.space, budget, rng) for _ in range(n)]


def main() -> None:
    """Make or read the table, run every search on every seed, print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many of the seeds")
    parser.add_argument("--out", type=Path, default=Path("runs/depth_search"))
    asked = parser.parse_args()

    from experiments import material
    from experiments.material.samples import samples

    space = ProfileSpace.of(material.base(), depth=True)
    tokens = samples("search")[: TEXT[0], : TEXT[1]]
    known = table(space, tokens, KS, asked.out)
    print("| k | profiles | search | mean | median | worst |\n|---|---|---|---|---|---|")
    for k in KS:
        found = compare(space, known, k, SEEDS[: asked.seeds])
        print("\n".join(report(k, len(profiles(space, k)), found)), flush=True)


if __name__ == "__main__":
    main()
