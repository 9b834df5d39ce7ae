"""One NSGA-III survival: how many times as long as ours pymoo, evox and evomo take.

    python -m experiments.benchmarks.selection [--quick | --memory | --device cuda]

n = parents + offspring, n / 2 survive, about n / 2 Das-Dennis lines. "random" costs fill the
unit cube (many fronts), "near" ones lie on the sphere's octant times 1 + 0.05 Exp (few). Every
turn draws new costs and clocks all contenders one after the other; medians, the first turn
dropped. On a CPU the clock is CPU seconds on one thread, on a GPU wall time between two
synchronisations. What each contender is given, and what is inside its clock: see `peers`.

`--memory` measures, in a fresh process each, the peak of the first survival over what the process
held just before, libraries that the survival itself loads included.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from experiments.benchmarks.peers import PEERS, Build, Call, Peer, ours

Data = Callable[[int, int, torch.Generator], Tensor]
CPU = torch.device("cpu")

Sizes = Sequence[tuple[int, int]]
SMALL: Sizes = ((200, 3), (200, 5), (1_000, 3), (1_000, 5), (5_000, 3), (5_000, 5))
LARGE: Sizes = ((100_000, 3), (1_000_000, 3))
SIZES: Sizes = (*SMALL, (20_000, 3), (20_000, 5), *LARGE)

SECONDS_CPU = {(1_000_000, 3): 2.5}  # at most
SECONDS_GPU = {(100_000, 3): 0.010, (1_000_000, 3): 0.5}
MB_CPU = {(1_000_000, 3): 200.0}
MB_GPU = {(1_000_000, 3): 1000.0}


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one Markdown table; the exit status is 1 if there was nothing to measure with."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu, or cuda for the large sizes there")
    parser.add_argument("--memory", action="store_true", help="peak memory in place of time")
    parser.add_argument("--quick", action="store_true", help="the smallest size, one turn")
    parser.add_argument("--turns", type=int, help="clocked turns a size")
    parser.add_argument("--upto", type=int, default=1_000_000, help="largest size")
    given = parser.parse_args(arguments)
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("no CUDA device: not measured", file=sys.stderr)
        return 1
    every = SMALL[:2] if given.quick else LARGE if device.type == "cuda" else SIZES
    sizes = [size for size in every if size[0] <= given.upto]
    peers = present(device)
    if given.memory:
        memory_table(sizes, peers)
        return 0
    torch.set_num_threads(1)
    with threadpool_limits(1):
        time_table(sizes, peers, device, 1 if given.quick else given.turns)
    return 0


def present(device: torch.device) -> list[Peer]:
    """The peers that are installed and run there; says what the others need."""
    found = []
    for peer in PEERS:
        version = peer.installed()
        if version is None:
            print(f"{peer.name} is left out: {peer.install}")
        elif device.type == "cpu" or peer.on_gpu:
            found.append(peer)
            print(f"{peer.name} {version}")
    print(f"torch {torch.__version__}")
    return found


def time_table(
    sizes: Sizes,
    peers: Sequence[Peer],
    device: torch.device,
    turns: int | None,
) -> None:
    """Rows of peer's time / ours, for random and near costs; the worse one meets the goal."""
    unit = "CPU" if device.type == "cpu" else "wall"
    heads = ["n", "m", f"ours, {unit} ms", *(f"{peer.name} / ours" for peer in peers)]
    heads += ["ours, peak MB"] * (device.type == "cuda")
    print("\nEach cell: random, near (goal).\n")
    print_row(heads)
    print_row(["---:"] * len(heads))
    wrong = {peer.name: [0, 0] for peer in peers}
    for n, m in sizes:
        runs = [p for p in peers if fits(p, n, m, device)]
        builds = [ours, *(peer.build for peer in runs)]
        both, peaks = [], []
        for data in (random_costs, near_costs):
            if device.type == "cuda":
                peaks.append(gpu_peak_mb(n, m, data, device))
            taken, survivors = clocked(builds, n, m, data, device, turns)
            both.append(taken)
            for peer, found in zip(runs, survivors[1:]):
                wrong[peer.name][0] += sum(count != n // 2 for count in found)
                wrong[peer.name][1] += len(found)
        limits = SECONDS_CPU if device.type == "cpu" else SECONDS_GPU
        limit = limits.get((n, m))
        cells = [f"{n:,}", str(m)]
        cells.append(
            at_most([1e3 * taken[0] for taken in both], None if limit is None else 1e3 * limit)
        )
        for peer in peers:
            if peer not in runs:
                cells.append("–")
                continue
            place = 1 + runs.index(peer)
            cells.append(at_least([t[place] / t[0] for t in both], peer.goals.get((n, m))))
        if device.type == "cuda":
            cells.append(at_most(peaks, MB_GPU.get((n, m))))
        print_row(cells)
    print("\n–: more than 60 s, more memory than there is, or only on the CPU.")
    for name, (bad, calls) in wrong.items():
        if bad:
            print(f"{name} returned another number of survivors in {bad} of {calls} calls.")


def clocked(
    builds: Sequence[Build],
    n: int,
    m: int,
    data: Data,
    device: torch.device,
    turns: int | None,
) -> tuple[list[float], list[list[int]]]:
    """Median seconds of each contender, and its numbers of survivors in all clocked calls."""
    contenders = [build(k=n // 2, m=m, device=device) for build in builds]
    in_a_row = 5 if n <= 1_000 and turns is None else 1  # short calls, with warm caches
    turns = turns or (7 if n <= 1_000 else 5 if n <= 5_000 else 3)
    generator = torch.Generator().manual_seed(n + m)
    taken: list[list[float]] = [[] for _ in builds]
    survivors: list[list[int]] = [[] for _ in builds]
    for turn in range(turns + 1):
        draws = [data(n, m, generator).to(device) for _ in range(in_a_row)]
        for i, contender in enumerate(contenders):
            for costs in draws:
                call = contender(costs)
                found, seconds = timed(call, device)
                if turn:  # the first warms up
                    taken[i].append(seconds)
                    survivors[i].append(found)
    return [statistics.median(each) for each in taken], survivors


def timed(call: Call, device: torch.device) -> tuple[int, float]:
    """What the call returns and its seconds: CPU time, or wall time on a GPU."""
    if device.type == "cpu":
        start = time.process_time()
        found = call()
        return found, time.process_time() - start
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    found = call()
    torch.cuda.synchronize(device)
    return found, time.perf_counter() - start


def memory_table(sizes: Sizes, peers: Sequence[Peer]) -> None:
    """Rows of peak MB, the larger of random and near; ours beside its law, peers as ratios."""
    heads = ["n", "m", "ours, MB (16 + 1.5 kB a point)", *(f"{p.name} / ours" for p in peers)]

    def worst(build: Build, n: int, m: int) -> float:
        return max(fresh_peak_mb(build, n, m, data) for data in (random_costs, near_costs))

    print()
    print_row(heads)
    print_row(["---:"] * len(heads))
    for n, m in sizes:
        law = min(16 + 1.5e-3 * n, MB_CPU.get((n, m), float("inf")))
        mine = worst(ours, n, m)
        cells = [f"{n:,}", str(m), at_most([mine], law)]
        for peer in peers:
            run = fits(peer, n, m, CPU)
            cells.append(f"{worst(peer.build, n, m) / mine:.1f}" if run else "–")
        print_row(cells)


def fresh_peak_mb(build: Build, n: int, m: int, data: Data) -> float:
    """`peak_mb` in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        return process.submit(peak_mb, build, n, m, data).result()


def peak_mb(build: Build, n: int, m: int, data: Data) -> float:
    """MB that the first survival in this process takes at most above what it held before."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        contender = build(k=n // 2, m=m, device=CPU)
        call = contender(data(n, m, torch.Generator().manual_seed(0)))
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        before = _status("VmRSS")
        call()
        return (_status("VmHWM") - before) / 1e3


def gpu_peak_mb(n: int, m: int, data: Data, device: torch.device) -> float:
    """MB that ours allocates at most above the costs and the reference lines."""
    call = ours(n // 2, m, device)(data(n, m, torch.Generator().manual_seed(0)).to(device))
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    return (torch.cuda.max_memory_allocated(device) - before) / 1e6


def _status(key: str) -> float:
    """A size of this process in kB (1,000 bytes), from Linux."""
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1.024


def fits(peer: Peer, n: int, m: int, device: torch.device) -> bool:
    """Is the peer worth waiting for? evox's and evomo's comparisons take the bytes below."""
    if device.type == "cpu":
        return n <= peer.largest
    return max(10, 2 * m + 3) * n**2 < torch.cuda.mem_get_info(device)[0]


def random_costs(n: int, m: int, generator: torch.Generator) -> Tensor:
    """(n, m) float32, uniform in the cube."""
    return torch.rand(n, m, generator=generator)


def near_costs(n: int, m: int, generator: torch.Generator) -> Tensor:
    """(n, m) float32, up to a few hundredths beyond the unit sphere's octant."""
    point = torch.randn(n, m, generator=generator).abs()
    beyond = torch.empty(n, 1).exponential_(generator=generator)
    length: Tensor = point.norm(dim=1, keepdim=True)
    return point / length * (1 + 0.05 * beyond)


def at_least(ratios: Sequence[float], goal: tuple[float, float] | None) -> str:
    """Both ratios, and whether each reaches its goal."""
    if goal is None:
        return figures(ratios)
    met = all(ratio >= least for ratio, least in zip(ratios, goal))
    wanted = f"{goal[0]:g}" if goal[0] == goal[1] else f"{goal[0]:g}, {goal[1]:g}"
    return f"{figures(ratios)} (≥ {wanted}: {'met' if met else 'MISSED'})"


def at_most(values: Sequence[float], limit: float | None) -> str:
    """The values, and whether all keep to the limit."""
    if limit is None:
        return figures(values)
    met = max(values) <= limit
    return f"{figures(values)} (≤ {limit:g}: {'met' if met else 'MISSED'})"


def figures(values: Sequence[float]) -> str:
    """Two digits that count, or whole numbers."""
    return ", ".join(f"{v:.0f}" if v >= 10 else f"{v:.2g}" for v in values)


def print_row(cells: Sequence[str]) -> None:
    """One Markdown row, at once."""
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
