"""A small generational loop on DTLZ2: bounded SBX and polynomial mutation in plain numpy."""

from __future__ import annotations

import numpy as np
import torch

from evolve.variation import Selection


def dtlz2(x: np.ndarray, m: int) -> np.ndarray:
    """(n, m) costs, minimised; the front is the unit sphere's positive orthant."""
    distance: np.ndarray = ((x[:, m - 1 :] - 0.5) ** 2).sum(1)
    angle = x[:, : m - 1] * np.pi / 2
    costs = np.repeat(1 + distance[:, None], m, axis=1)
    for j in range(m):
        costs[:, j] *= np.cos(angle[:, : m - 1 - j]).prod(1)
        if j:
            costs[:, j] *= np.sin(angle[:, m - 1 - j])
    return costs


def evolved(selection: Selection, m: int, n: int, generations: int, seed: int) -> np.ndarray:
    """(n, m) costs of the last population; exactly n rows in every generation."""
    random = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    x = random.random((n, m + 4))
    state: object | None = None
    for _ in range(generations):
        both = np.concatenate([x, _children(x, random)])
        costs = torch.from_numpy(dtlz2(both, m))
        selected = selection(costs, n, state=state, generator=generator)
        state = selected.state
        x = both[selected.indices.numpy()]
        assert len(x) == n
    return dtlz2(x, m)


def _children(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    mother, father = x[random.permutation(len(x))], x[random.permutation(len(x))]
    u = random.random(x.shape)
    beta = np.where(u < 0.5, (2 * u) ** (1 / 21), (2 - 2 * u) ** (-1 / 21))
    child = (mother + father) / 2 - beta * (father - mother) / 2
    child = np.where(random.random(x.shape) < 0.5, child, mother)
    u = random.random(x.shape)
    step = np.where(u < 0.5, (2 * u) ** (1 / 21) - 1, 1 - (2 - 2 * u) ** (1 / 21))
    step = step * (random.random(x.shape) < 1 / x.shape[1])
    children: np.ndarray = np.clip(child + step, 0, 1)
    return children
