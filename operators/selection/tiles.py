"""How many numbers are held at once: what a cache of the CPU holds, more on other devices.

A GPU needs large pieces of work, each of which is a launch. Knows devices, not costs.
"""

from __future__ import annotations

import torch

ELSEWHERE = 1 << 24  # float64 numbers, 128 MiB


def tile(on_cpu: int, device: torch.device, elsewhere: int = ELSEWHERE) -> int:
    """`on_cpu` there, `elsewhere` on any other device."""
    return on_cpu if device.type == "cpu" else elsewhere
