"""How fast this machine multiplies matrices, for estimates of what compression takes."""

from __future__ import annotations

import time

SIDE = 512  # of the products that are timed: 4 ms at 70 GFLOP/s
TRIES = 4


def products_a_second() -> float:
    """Floating-point operations a second of float32 products on one thread, measured."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    square = torch.ones(SIDE, SIDE)
    best = float("inf")
    try:
        for _ in range(TRIES):
            begun = time.perf_counter()
            torch.mm(square, square)
            best = min(best, time.perf_counter() - begun)
    finally:
        torch.set_num_threads(threads)
    return 2 * SIDE**3 / best
