"""Evolved programs against programs nobody selected: code_digits at equal evaluations.

    python -m experiments.benchmarks.code_search --seeds 8 --jobs 2

Three arms with the same start program, built-in mutations and 150 evaluations: ours (NSGA-II),
children of the start program (IID, one to four mutations), and a random walk (parents drawn
evenly from all that was scored). Everything trains from scratch. The front on validation images
is then trained anew with three seeds; a program's point is its mean error on the sealed test
images against log10 of its parameters, and a run is worth the hypervolume of its points below the
reference point: an error of 0.3 and 10,000 parameters, the start's budget. One-sided Wilcoxon
signed-rank tests over paired seeds: ours larger than each. Seeds from 10 on: smaller ones were
seen while the search was made. Runs lie below `--out` and are not made again. No language model
takes part, whatever the environment says.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

import evolve
from evolve.archive.front import Front
from evolve.engine.workers import threads_pinned
from evolve.genomes.program.program import Program
from evolve.score import Record
from evolve.search.protocol import Search
from experiments import code_digits
from experiments.mutators import built_in

ARMS: Mapping[str, Callable[[code_digits.Operators], Search[Program]]] = {
    "ours": code_digits.selected,
    "iid": code_digits.from_start,
    "random walk": code_digits.from_anybody,
}
RETRAINED = (1001, 1002, 1003)  # seeds of the final trainings
REFERENCE = (1 - code_digits.FLOOR, math.log10(code_digits.BUDGET))


@dataclass(frozen=True)
class Outcome:
    """A run's front, on the test: (mean error, parameters) a member; and what it took."""

    arm: str
    seed: int
    points: tuple[tuple[float, float], ...]
    failed: int  # births without a score

    @property
    def volume(self) -> float:
        return volume(self.points)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a table of arms and one test a rival."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--first", type=int, default=10, help="the first of the seeds")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, one core each")
    parser.add_argument("--births", type=int, default=code_digits.BIRTHS)
    parser.add_argument("--out", type=Path, default=Path("runs/code_search"))
    given = parser.parse_args(arguments)
    folder = given.out / str(given.births)
    with ProcessPoolExecutor(given.jobs) as pool:
        waiting = [
            pool.submit(outcome, arm, seed, given.births, folder)
            for seed in range(given.first, given.first + given.seeds)
            for arm in ARMS
        ]
        found = [each.result() for each in waiting]
    print("\n".join(table(found, given.births)))
    return 0


def outcome(arm: str, seed: int, births: int, folder: Path) -> Outcome:
    """What `arm` finds; from the file of an earlier call, if there is one."""
    file = folder / f"{arm.replace(' ', '_')}-{seed}.json"
    if file.exists():
        known = json.loads(file.read_text("utf-8"))
        return Outcome(**{**known, "points": tuple(map(tuple, known["points"]))})
    made = replace(
        code_digits.experiment,
        name=f"code_search {arm}",
        search=lambda: ARMS[arm](built_in()),
        births=births,
        seed=seed,
        final=None,
    )
    out = file.with_suffix("")
    run = evolve.run(made, out, resume=(out / "ledger.sqlite").exists())
    front = Front.of(run.records, code_digits.validation.objectives).records
    failed = sum(record.score.error is not None for record in run.records)
    found = Outcome(arm, seed, tuple(map(tested, front)), failed)
    file.write_text(json.dumps(asdict(found)), "utf-8")
    return found


def tested(record: Record[Program]) -> tuple[float, float]:
    """(error, parameters) on the sealed test, the mean of three trainings from scratch.

    A training that fails counts as an error of 1.
    """
    errors = []
    with threads_pinned(1):
        for seed in RETRAINED:
            (score,) = code_digits.test.evaluate([record.genome], 0, seed)
            errors.append(1.0 if score.error is not None else 1.0 - score.values[0])
    return float(np.mean(errors)), record.score.values[1]


def volume(points: Sequence[tuple[float, float]]) -> float:
    """The hypervolume of (error, log10 parameters) below the reference point."""
    import torch

    from operators.selection import hypervolume

    costs = [(error, math.log10(parameters)) for error, parameters in points]
    table = torch.tensor(costs, dtype=torch.float64).reshape(-1, 2)
    return float(hypervolume(table, torch.tensor(REFERENCE, dtype=torch.float64)))


def table(found: Sequence[Outcome], births: int) -> list[str]:
    """Markdown: mean and standard deviation of each arm, p of ours being no better."""
    volumes = {arm: np.array([o.volume for o in found if o.arm == arm]) for arm in ARMS}
    n = len(volumes["ours"])
    lines = [
        f"{births} births, {n} paired seeds; reference point: error {REFERENCE[0]:.1f}, "
        f"{10 ** REFERENCE[1]:,.0f} parameters",
        "| arm | hypervolume, mean ± sd | seeds that ours wins | one-sided p | failed births |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for arm, each in volumes.items():
        spread = each.std(ddof=1) if n > 1 else math.nan
        failed = np.mean([o.failed for o in found if o.arm == arm])
        wins = p = ""
        if arm != "ours":
            wins, p = (
                f"{(volumes['ours'] > each).sum()} of {n}",
                f"{larger(volumes['ours'], each):.4f}",
            )
        lines.append(f"| {arm} | {each.mean():.4f} ± {spread:.4f} | {wins} | {p} | {failed:.1f} |")
    return lines


def larger(ours: np.ndarray, theirs: np.ndarray) -> float:
    """p of the one-sided Wilcoxon signed-rank test that ours (n,) is larger; 1 if all tie."""
    from scipy.stats import wilcoxon

    if (ours == theirs).all():
        return 1.0
    return float(wilcoxon(ours, theirs, alternative="greater").pvalue)


if __name__ == "__main__":
    sys.exit(main())
