"""One NSGA-III survival: how many times as long as ours pymoo, evox and evomo take.

    python -m experiments.benchmarks.selection [--quick | --memory | --device cuda]

n = parents + offspring, n / 2 survive, about n / 2 Das-Dennis lines. "random" costs fill the
unit cube (many fronts), "near" ones lie on the sphere's octant times 1 + 0.05 Exp (few). Every
turn draws new costs and clocks all contenders one after the other; medians, the first turn
dropped. On a CPU the clock is CPU seconds on one thread, on a GPU wall time between two
synchronisations; there each contender has all its turns, on the same costs, before the next
begins with the memory freed. One that runs out of memory there has no number. Each cell is
printed as soon as it is known. What each contender is given, and what is inside its clock: see
`peers`.

`--memory` measures, in a fresh process each, the peak of the first survival over what the process
held just before, libraries that the survival itself loads included.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import multiprocessing
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from experiments.benchmarks.peers import PEERS, Build, Call, Peer, Ready, ours

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
    on_gpu = device.type == "cuda"
    unit = "wall" if on_gpu else "CPU"
    heads = ["n", "m", *["ours, peak MB"] * on_gpu, f"ours, {unit} ms"]
    heads += [f"{peer.name} / ours" for peer in peers]
    print("\nEach cell: random, near (goal).\n")
    print_row(heads)
    print_row(["---:"] * len(heads))
    wrong = {peer.name: [0, 0] for peer in peers}
    for n, m in sizes:
        runs = [p for p in peers if fits(p, n, m, device)]
        print_cells(f"{n:,}", str(m))
        if on_gpu:
            peaks = [gpu_peak_mb(n, m, data, device) for data in DATA]
            print_cells(at_most(peaks, MB_GPU.get((n, m))))
        clocks = contest([ours, *(peer.build for peer in runs)], n, m, device, turns)
        mine = next(clocks)
        print_cells(times(mine, (SECONDS_GPU if on_gpu else SECONDS_CPU).get((n, m))))
        for peer in peers:
            theirs = next(clocks) if peer in runs else []
            print_cells(ratios(theirs, mine, peer.goals.get((n, m))))
            for clock in theirs:
                wrong[peer.name][0] += sum(count != n // 2 for count in clock.survivors)
                wrong[peer.name][1] += len(clock.survivors)
        print("|", flush=True)
    print("\n–: more than 60 s, more memory than there is, or only on the CPU.")
    for name, (bad, calls) in wrong.items():
        if bad:
            print(f"{name} returned another number of survivors in {bad} of {calls} calls.")


@dataclass(frozen=True)
class Clock:
    """Median seconds, None where memory ran out, and the survivors of every clocked call."""

    seconds: float | None
    survivors: list[int]


def contest(
    builds: Sequence[Build], n: int, m: int, device: torch.device, turns: int | None
) -> Iterator[list[Clock]]:
    """For each contender its clocks of random and of near costs, as soon as they are known."""
    if device.type == "cpu":
        yield from map(list, zip(*(clocked(builds, n, m, data, device, turns) for data in DATA)))
        return
    for build in builds:
        clocks = []
        for data in DATA:
            clocks += clocked([build], n, m, data, device, turns)
            gc.collect()
            torch.cuda.empty_cache()
        yield clocks


def clocked(
    builds: Sequence[Build],
    n: int,
    m: int,
    data: Data,
    device: torch.device,
    turns: int | None,
) -> list[Clock]:
    """One clock for each contender; one without memory for a call is not called again."""
    contenders: list[Ready | None] = [None for _ in builds]
    in_a_row = 5 if n <= 1_000 and turns is None else 1  # short calls, with warm caches
    turns = turns or (7 if n <= 1_000 else 5 if n <= 5_000 else 3)
    generator = torch.Generator().manual_seed(n + m)
    taken: list[list[float]] = [[] for _ in builds]
    survivors: list[list[int]] = [[] for _ in builds]
    lost: set[int] = set()
    for i, build in enumerate(builds):
        with forgiven(lost, i):
            contenders[i] = build(k=n // 2, m=m, device=device)
    for turn in range(turns + 1):
        draws = [data(n, m, generator).to(device) for _ in range(in_a_row)]
        for i, contender in enumerate(contenders):
            for costs in draws:
                if contender is None or i in lost:
                    continue
                with forgiven(lost, i):
                    found, seconds = timed(contender(costs), device)
                    if turn:  # the first warms up
                        taken[i].append(seconds)
                        survivors[i].append(found)
    return [
        Clock(None if i in lost else statistics.median(taken[i]), survivors[i])
        for i in range(len(builds))
    ]


@contextlib.contextmanager
def forgiven(lost: set[int], i: int) -> Iterator[None]:
    """Puts `i` among the lost where memory runs out on a device."""
    try:
        yield
    except torch.OutOfMemoryError:
        lost.add(i)


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
    return max(12, 2 * m + 3) * n**2 < torch.cuda.mem_get_info(device)[0]


def random_costs(n: int, m: int, generator: torch.Generator) -> Tensor:
    """(n, m) float32, uniform in the cube."""
    return torch.rand(n, m, generator=generator)


def near_costs(n: int, m: int, generator: torch.Generator) -> Tensor:
    """(n, m) float32, up to a few hundredths beyond the unit sphere's octant."""
    point = torch.randn(n, m, generator=generator).abs()
    beyond = torch.empty(n, 1).exponential_(generator=generator)
    length: Tensor = point.norm(dim=1, keepdim=True)
    return point / length * (1 + 0.05 * beyond)


DATA: Sequence[Data] = (random_costs, near_costs)


def times(clocks: Sequence[Clock], limit: float | None) -> str:
    """Milliseconds, and whether all keep to the limit in seconds; a dash where memory ran out."""
    known = [1e3 * clock.seconds for clock in clocks if clock.seconds is not None]
    if len(known) < len(DATA):
        return "–"
    return at_most(known, None if limit is None else 1e3 * limit)


def ratios(
    theirs: Sequence[Clock], mine: Sequence[Clock], goal: tuple[float, float] | None
) -> str:
    """Their seconds / mine, and whether each reaches its goal; a dash where one is not known."""
    known = [
        their.seconds / my.seconds
        for their, my in zip(theirs, mine)
        if their.seconds is not None and my.seconds is not None
    ]
    return at_least(known, goal) if len(known) == len(DATA) else "–"


def at_least(values: Sequence[float], goal: tuple[float, float] | None) -> str:
    """Both ratios, and whether each reaches its goal."""
    if goal is None:
        return figures(values)
    met = all(value >= least for value, least in zip(values, goal))
    wanted = f"{goal[0]:g}" if goal[0] == goal[1] else f"{goal[0]:g}, {goal[1]:g}"
    return f"{figures(values)} (≥ {wanted}: {'met' if met else 'MISSED'})"


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
    print_cells(*cells)
    print("|", flush=True)


def print_cells(*cells: str) -> None:
    """The next cells of a Markdown row, at once."""
    print("".join(f"| {cell} " for cell in cells), end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
