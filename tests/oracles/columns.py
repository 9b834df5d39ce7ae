"""GPTQ and SparseGPT in float64, one column at a time, with a fresh inverse for every column.

Settling column j adds -(w_j - q_j) / [F^-1]_jj * F^-1[j, :] to the columns after it, where F is
the damped Hessian of those not settled yet (Frantar et al. 2022, eq. 2).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def damped(hessian: np.ndarray, damping: float) -> np.ndarray:
    return hessian + damping * np.mean(np.diag(hessian)) * np.eye(len(hessian))


def rounded(w: float, scale: float, bits: int) -> float:
    ratio = np.float32(w) / np.float32(scale)  # the largest weight lies half-way: ties matter
    return float(np.clip(np.round(ratio), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1))


def scale_of(
    w: np.ndarray, cost: np.ndarray, bits: int, multiples: Sequence[float], dtype: type
) -> float:
    """The multiple of the full scale of least weighted squared error; the first of equals."""
    tiny = float(np.finfo(dtype).tiny)
    full = float(np.abs(w).max()) / ((2**bits - 1) / 2)
    scales = [max(float(dtype(m * full)), tiny) for m in multiples]
    losses = [sum(c * (x - s * rounded(x, s, bits)) ** 2 for x, c in zip(w, cost)) for s in scales]
    return scales[int(np.argmin(losses))]


def gptq(
    weight: np.ndarray,
    hessian: np.ndarray,
    bits: int,
    group: int,
    multiples: Sequence[float] = (1.0,),
    dtype: type = np.float32,
) -> tuple[np.ndarray, np.ndarray]:
    """Codes (rows, columns) and scales (rows, groups); `hessian` is damped already."""
    n = weight.shape[1]
    inverses = [np.linalg.inv(hessian[j:, j:]) for j in range(n)]
    cost = np.array([1 / inverse[0, 0] for inverse in inverses])
    codes, scales = np.zeros(weight.shape), np.zeros((len(weight), n // group))
    for i, row in enumerate(weight.astype(np.float64)):
        w = row.copy()
        for j in range(n):
            if j % group == 0:
                part = slice(j, j + group)
                scales[i, j // group] = scale_of(w[part], cost[part], bits, multiples, dtype)
            scale = scales[i, j // group]
            codes[i, j] = rounded(w[j], scale, bits)
            settle(w, j, float(dtype(codes[i, j] * scale)), inverses[j])
    return codes, scales


def sparsegpt(
    weight: np.ndarray,
    hessian: np.ndarray,
    count: int,
    block: int,
    ranked: bool,
    dtype: type = np.float32,
) -> np.ndarray:
    """The weight with `count` zeros; `hessian` is damped already."""
    rows, n = weight.shape
    inverses = [np.linalg.inv(hessian[j:, j:]) for j in range(n)]
    cost = np.array([1 / inverse[0, 0] for inverse in inverses])
    w = weight.astype(np.float64)
    least = np.argsort((w**2 * cost).T.ravel(), kind="stable")[:count] // rows  # their columns
    for start in range(0, n, block):
        stop = min(start + block, n)
        share = count * stop // n - count * start // n
        if ranked:
            share = int(((least >= start) & (least < stop)).sum())
        scores = (w[:, start:stop] ** 2 * cost[start:stop]).T.ravel()
        gone = np.zeros(len(scores), bool)
        gone[np.argsort(scores, kind="stable")[:share]] = True
        gone = gone.reshape(stop - start, rows)
        for j in range(start, stop):
            for i in range(rows):
                settle(w[i], j, 0.0 if gone[j - start, i] else float(dtype(w[i, j])), inverses[j])
    return w


def settle(w: np.ndarray, j: int, value: float, inverse: np.ndarray) -> None:
    """Fixes w_j and corrects the later ones, in place."""
    w[j:] -= (w[j] - value) / inverse[0, 0] * inverse[0]
    w[j] = value
