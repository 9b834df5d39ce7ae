"""What one evaluation in the sandbox costs, beside a cold process that imports torch.

    python -m experiments.benchmarks.sandbox_overhead

Both sides answer a trivial call, and take one step of an optimiser, in turns in one run; the
sandbox at the highest level that this machine allows, the cold process with no isolation at all.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from fitness.sandbox import Call, isolation, run

NOTHING = "import torch\ndef f():\n    return 1\n"
STEP = """
import torch
def f():
    model = torch.nn.Linear(4, 2)
    optimiser = torch.optim.Adam(model.parameters())
    model(torch.ones(3, 4)).sum().backward()
    optimiser.step()
    return 1
"""
TASKS = {"trivial call": NOTHING, "one optimiser step": STEP}


def warm(source: str) -> None:
    """In the sandbox."""
    answer = run(Call({"model.py": source}, "model:f"))
    assert answer.value == 1, answer


def cold(source: str) -> None:
    """In a process of its own."""
    command = [sys.executable, "-c", f"{source}\nprint(f())"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n", done


def seconds(side: Callable[[str], None], source: str) -> float:
    began = time.perf_counter()
    side(source)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="of each side and task")
    repeats = parser.parse_args().repeats
    print(f"isolation: {isolation()}")
    print("| task | sandbox, ms | cold process, ms | ratio |\n| --- | --- | --- | --- |")
    for task, source in TASKS.items():
        cold(source)  # the files are then in the machine's memory, for both
        times = [(seconds(warm, source), seconds(cold, source)) for _ in range(repeats)]
        ours, theirs = (1000 * statistics.median(side) for side in zip(*times))
        print(f"| {task} | {ours:.0f} | {theirs:.0f} | {theirs / ours:.0f} |")


if __name__ == "__main__":
    main()
