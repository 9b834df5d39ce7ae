"""Profiles at one budget of tokens: uniform, random, one-shot, solver, EvoPress, ours.

    python -m experiments.benchmarks.compression --model stories --mode bits --seeds 5 --jobs 2

Every arm spends at most 400,000 evaluated tokens (`--budget` changes that), then its profile is
scored once on held-out text: KL to the dense model over the full vocabulary. Verdicts: paired
bootstrap over held-out sequences of the difference of KL, 95 %. "faithful" is EvoPress's rules
at this budget, not its published convergence; "a third" is the best of ours after a third of the
tokens that faithful spent. Runs lie below `--out` and are not made again. `--device cuda` is the
same on a GPU, which `--jobs` share.
"""

from __future__ import annotations

import argparse
import json
import sys
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch

import evolve
from evolve import Experiment
from evolve.engine.workers import threads_pinned
from evolve.genomes.compression.profile import CompressionProfile
from evolve.score import Record
from experiments import arms
from experiments.profiles import BUDGET, Mode, Study

ARMS = ("uniform", "random", "one-shot", "solver", "faithful", "ours")
SEEDED = ("random", "faithful", "ours")
THIRD = "a third"
COMPARED = (Mode.BITS, Mode.DEPTH, Mode.SPARSITY)  # EvoPress has no joint mode
RESAMPLES = 10_000
SUPER_FAST = 9_800_000  # tokens: 400 generations of 16
SHARD = 8  # sequences a forward pass on a GPU
LOSS = 0.01  # of the other's KL: "at least as good" excludes more


@dataclass(frozen=True)
class Outcome:
    """What an arm's profile does to held-out text, and what finding it took."""

    arm: str
    seed: int
    tokens: int
    on_search: float  # KL on the search's own text, at the dearest rung
    kl: tuple[float, ...]  # a held-out sequence
    perplexity: float
    cost: int

    @property
    def mean(self) -> float:
        return float(np.mean(self.kl))


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one Markdown table a mode."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", choices=["stories", "smollm"], default="stories")
    parser.add_argument("--mode", choices=[str(mode) for mode in COMPARED], action="append")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="arms at a time, one core each")
    parser.add_argument(
        "--budget", type=tokens, default=BUDGET, help="tokens a search, or super-fast"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", type=Path, default=Path("runs/compression"))
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device: not measured")
        return 1
    for mode in map(Mode, given.mode or COMPARED):
        asked = [
            (arm, seed)
            for seed in range(given.seeds)
            for arm in ARMS
            if (seed == 0 or arm in SEEDED) and (arm, mode) != ("uniform", Mode.DEPTH)  # dense
        ]
        place = f"{given.model}-{given.budget}" + "-cuda" * (given.device == "cuda")
        folder = given.out / place / mode
        gpus = 1 / given.jobs if given.device == "cuda" else 0.0
        with ProcessPoolExecutor(given.jobs) as pool:
            waiting = [
                pool.submit(outcome, given.model, mode, *each, given.budget, folder, gpus)
                for each in asked
            ]
            found = [each.result() for each in waiting]
            waiting = [
                pool.submit(
                    outcome, given.model, mode, THIRD, each.seed, each.tokens // 3, folder, gpus
                )
                for each in found
                if each.arm == "faithful"
            ]
            found += [each.result() for each in waiting]
        print("\n".join(table(given.model, mode, given.budget, found)), flush=True)
    return 0


def study_of(model: str, mode: Mode) -> Study:
    """The study of `compress_stories` or `compress_smollm`."""
    if model == "stories":
        from experiments.compress_stories import study
    else:
        from experiments.compress_smollm import study
    return study(mode)


def tokens(text: str) -> int:
    """Tokens a search: a number, or EvoPress's super-fast setting."""
    return SUPER_FAST if text == "super-fast" else int(text)


def outcome(
    model: str, mode: Mode, arm: str, seed: int, budget: int, folder: Path, gpus: float = 0.0
) -> Outcome:
    """What `arm` finds; from the file of an earlier call, if there is one."""
    file = folder / f"{arm.replace(' ', '-')}-{seed}.json"
    if file.exists():
        known = json.loads(file.read_text())
        return Outcome(**{**known, "kl": tuple(known["kl"])})
    study = study_of(model, mode)
    if gpus:
        study = replace(study, gpus=gpus, shard=SHARD)
    with threads_pinned(1):
        place = folder / f"{'ours' if arm == THIRD else arm}-{seed}"
        profile, taken, on_search = winner(study, arm, seed, budget, place)
        (score,) = study.test.evaluate([profile], 0, 0)
    if score.error is not None or score.samples is None:
        raise RuntimeError(f"{arm}, seed {seed}: {score.error}")
    cost = study.budget.cost
    found = Outcome(
        arm=arm,
        seed=seed,
        tokens=taken,
        on_search=on_search,
        kl=tuple(score.samples[0].tolist()),
        perplexity=score.metrics["perplexity"],
        cost=0 if cost is None else cost.of(profile),
    )
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(asdict(found)))
    return found


def winner(
    study: Study, arm: str, seed: int, budget: int, out: Path
) -> tuple[CompressionProfile, int, float]:
    """An arm's profile, the tokens it took, and its KL on the search's text.

    Of a third, `out` is the run of ours.
    """
    if arm == THIRD:
        records = cast("Sequence[Record[CompressionProfile]]", evolve.load(out).records)
        return first(records, budget)
    if arm == "uniform":
        return study.uniform, 0, float("nan")
    if arm == "one-shot":
        profile, taken = arms.one_shot(study)
        return profile, taken, float("nan")
    makers: dict[str, Callable[[], Experiment[CompressionProfile]]] = {
        "random": lambda: arms.best_of_random(study, seed),
        "solver": lambda: arms.solver(study),
        "faithful": lambda: arms.faithful(study, seed, budget),
        "ours": lambda: arms.ours(study, seed, budget),
        "front": lambda: arms.front(study, budget),
    }
    for option in arms.Option:
        makers[option] = partial(arms.faithful, study, seed, budget, [option])
    made = replace(makers[arm](), seed=seed, final=None)
    run = evolve.run(made, out, resume=(out / "ledger.sqlite").exists())
    best = run.best("divergence")
    if arm == "solver":  # its last birth, whatever it scores
        best = run.records[-1]
    if arm == "front":
        fine = (r for r in run.records if r.score.error is None and study.budget.keeps(r.genome))
        best = min(fine, key=lambda r: r.score.values[0])
    return best.genome, spent(run.records), best.score.values[0]


def first(
    records: Sequence[Record[CompressionProfile]], tokens: int
) -> tuple[CompressionProfile, int, float]:
    """What the best of the dearest rung is within so many tokens."""
    within = bisect_right(range(len(records)), tokens, key=lambda n: spent(records[: n + 1]))
    seen = [record for record in records[:within] if record.score.error is None]
    last = max(record.rung for record in seen)
    best = min((record for record in seen if record.rung == last), key=lambda r: r.score.values[0])
    return best.genome, spent(records[:within]), best.score.values[0]


def spent(records: Sequence[Record[CompressionProfile]]) -> int:
    """Evaluated tokens: a profile that was answered from the ledger costs none.

    A failed score says no tokens: it costs as much as any other at its rung.
    """
    once = {(record.digest, record.rung): record for record in records}
    most: dict[int, float] = {}
    for record in once.values():
        took = record.score.metrics.get("tokens", 0.0)
        most[record.rung] = max(took, most.get(record.rung, 0.0))
    return int(sum(r.score.metrics.get("tokens", most[r.rung]) for r in once.values()))


def table(model: str, mode: Mode, budget: int, found: Sequence[Outcome]) -> list[str]:
    """Rows of Markdown: each arm against ours, seed by seed, then over all seeds."""
    by = {(each.arm, each.seed): each for each in found}
    arms_ = [arm for arm in ARMS if (arm, 0) in by and arm != "ours"]
    seeds = sorted(seed for arm, seed in by if arm == "ours")
    ours = [by["ours", seed] for seed in seeds]
    n = len(ours[0].kl)
    lines = [
        f"\n{model}, {mode}: budget {budget:,} tokens a search, {n} held-out sequences",
        "| arm | seed | held-out KL | perplexity | tokens | ours - arm, KL (95 %) | ours is |",
        "| --- | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    for mine in ours:
        rivals = [by.get((arm, mine.seed)) or by[arm, 0] for arm in arms_]
        lines += [f"{_row(each, mine.seed)} {against([mine], [each])} |" for each in rivals]
        lines.append(f"{_row(mine, mine.seed)} | |")
    if len(seeds) > 1:
        lines += [f"| {arm} | all | | | | {_all(by, arm, ours)} |" for arm in arms_]
    lines += [""] * any(arm == THIRD for arm, _ in by)
    for each in (by[THIRD, seed] for seed in seeds if (THIRD, seed) in by):
        difference, is_ = against([each], [by["faithful", each.seed]]).split(" | ")
        lines.append(
            f"Seed {each.seed}, ours after {each.tokens:,} tokens, a third of faithful's: "
            f"{each.mean:.4f}; minus faithful's last: {difference}, {is_}"
        )
    return lines


def _row(each: Outcome, seed: int) -> str:
    return f"| {each.arm} | {seed} | {each.mean:.4f} | {each.perplexity:.2f} | {each.tokens:,} |"


def _all(by: Mapping[tuple[str, int], Outcome], arm: str, ours: Sequence[Outcome]) -> str:
    return against(ours, [by.get((arm, mine.seed)) or by[arm, 0] for mine in ours])


def against(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> str:
    """The difference of KL, in the mean over pairs, with its interval over sequences; verdict."""
    gained = np.mean([np.subtract(a.kl, b.kl) for a, b in zip(ours, theirs, strict=True)], axis=0)
    low, high = interval(gained)
    level = float(np.mean([each.mean for each in theirs]))
    return f"{gained.mean():+.4f} [{low:+.4f}, {high:+.4f}] | {verdict(low, high, level)}"


def interval(differences: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the mean of `differences` (n,), by the percentile bootstrap."""
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(differences), size=(RESAMPLES, len(differences)))
    low, high = np.quantile(differences[picks].mean(1), [0.025, 0.975])
    return float(low), float(high)


def verdict(low: float, high: float, theirs: float) -> str:
    """Of an interval of ours minus theirs."""
    if high < 0:
        return "better"
    if high <= LOSS * theirs:
        return "at least as good"
    return "worse" if low > 0 else "open"


if __name__ == "__main__":
    sys.exit(main())
