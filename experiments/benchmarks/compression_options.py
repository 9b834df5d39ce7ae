"""What each option of ours is worth: EvoPress's rules with that option alone.

    python -m experiments.benchmarks.compression_options --model smollm --mode bits --jobs 2

Same budget, text and runs below `--out` as `compression`; each is compared with EvoPress's rules
without it. In bits also the front: one run over KL and bytes, of which the best profile within
the budget is taken.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from experiments.arms import Option
from experiments.benchmarks.compression import COMPARED, Outcome, against, outcome
from experiments.profiles import BUDGET, Mode


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", choices=["stories", "smollm"], default="stories")
    parser.add_argument("--mode", choices=[str(mode) for mode in COMPARED], default="bits")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="arms at a time, one core each")
    parser.add_argument("--budget", type=int, default=BUDGET, help="tokens a search")
    parser.add_argument("--out", type=Path, default=Path("runs/compression"))
    given = parser.parse_args(arguments)
    mode = Mode(given.mode)
    folder = given.out / f"{given.model}-{given.budget}" / mode
    with ProcessPoolExecutor(given.jobs) as pool:
        waiting = [
            pool.submit(outcome, given.model, mode, arm, seed, given.budget, folder)
            for seed in range(given.seeds)
            for arm in options(mode)
        ]
        found = [each.result() for each in waiting]
    print("\n".join(table(given.model, mode, given.budget, found)), flush=True)
    return 0


def options(mode: Mode) -> list[str]:
    """The arms of `mode`: faithful first, all options last."""
    fitting = [str(each) for each in Option if (each, mode) != (Option.TRADES, Mode.DEPTH)]
    return ["faithful", *fitting, *["front"] * (mode is Mode.BITS), "ours"]


def table(model: str, mode: Mode, budget: int, found: Sequence[Outcome]) -> list[str]:
    """Rows of Markdown: each arm against faithful, the mean over seeds."""
    by: dict[str, list[Outcome]] = {}
    for each in sorted(found, key=lambda each: each.seed):
        by.setdefault(each.arm, []).append(each)
    faithful = by["faithful"]
    lines = [
        f"\n{model}, {mode}: budget {budget:,} tokens a search, {len(faithful)} seeds, "
        f"{len(faithful[0].kl)} held-out sequences",
        "| arm | held-out KL | tokens | arm - faithful, KL (95 %) | it is |",
        "| --- | ---: | ---: | --- | --- |",
    ]
    for arm in options(mode):
        level = sum(each.mean for each in by[arm]) / len(by[arm])
        spent = sum(each.tokens for each in by[arm]) // len(by[arm])
        verdict = "| |" if arm == "faithful" else f"{against(by[arm], faithful)} |"
        lines.append(f"| {arm} | {level:.4f} | {spent:,} | {verdict}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
