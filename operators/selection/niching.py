"""NSGA-III's niching in closed form (Deb & Jain 2014, alg. 4). Knows niches, not costs.

The paper's loop takes, again and again, a member of a least crowded niche: its closest member if
the niche is empty, a random one otherwise. So the t-th member taken from a niche that holds c is
taken at level c + t; every pick of a level precedes those of the next, and within a level the
order is random. Hence no loop: each member gets the key (c + its place in its niche, random), and
the smallest keys win.
"""

from __future__ import annotations

import torch
from torch import Tensor

Keys = tuple[Tensor, Tensor]


def niched(niche: Tensor, distance: Tensor, crowd: Tensor, k: int, keys: Keys) -> Tensor:
    """(k,) int64 members of the last front that survive, in the order of the paper's loop.

    niche: (n,) int64 and distance: (n,) float of the members. crowd: (r,) int64 survivors already
    in each niche. All on one device; keys there too. O(n log n) time, O(n + r) memory.
    """
    n = niche.numel()
    leader = _closest(niche, distance, keys[0], crowd.numel()) & (crowd[niche] == 0)
    place_key = torch.where(leader, 0, keys[0] + 1)
    order = (niche * (n + 1) + place_key).argsort()  # by niche, then the leader, then at random
    sizes = torch.bincount(niche, minlength=crowd.numel())
    start = sizes.cumsum(0) - sizes - crowd  # a niche's first member in `order` is at its crowd
    level = torch.empty_like(niche)
    level[order] = torch.arange(n, device=niche.device)
    level -= start[niche]
    return (level * n + keys[1]).argsort()[:k]


def random_keys(n: int, generator: torch.Generator, device: torch.device) -> Keys:
    """Two permutations of n, (n,) int64: who is drawn in a niche, and which niche is drawn.

    Drawn on the CPU and moved: the same survivors on every device.
    """
    within = torch.randperm(n, generator=generator, device="cpu")
    between = torch.randperm(n, generator=generator, device="cpu")
    return within.to(device), between.to(device)


def _closest(niche: Tensor, distance: Tensor, key: Tensor, n_niches: int) -> Tensor:
    """(n,) bool: the member nearest to its line, one a niche; equal distances go by key."""
    least = distance.new_full((n_niches,), torch.inf)
    least = least.scatter_reduce(0, niche, distance, "amin")
    tied = distance == least[niche]
    first = key.new_full((n_niches,), niche.numel())
    first = first.scatter_reduce(0, niche, torch.where(tied, key, niche.numel()), "amin")
    return tied & (key == first[niche])
