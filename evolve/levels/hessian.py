"""The second moment of a layer's inputs: summed, factored, and used as a measure of error.

For inputs x the squared error of the outputs, mean over tokens, is tr(dW H dW^T) with
H = mean(x x^T): half the Hessian that GPTQ and SparseGPT speak of. Knows no layer and no level.

Source: Frantar et al. 2022 (GPTQ), sec. 3.3: damping and the Cholesky factor of the inverse.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from evolve.errors import GenomeError

DAMPING = 0.01  # of the mean diagonal
ATTEMPTS = 4  # each with ten times the damping of the one before


@dataclass(frozen=True, eq=False)
class Factor:
    """The lower Cholesky factor of (H + damping * mean(diag H) * I)^-1.

    `lower`: (columns, columns) float32, on H's device. `lower[k, j] / lower[j, j]` is how much
    column k takes over of an error made in column j, once all before j are settled. `dead`:
    (columns,) bool, the inputs that were always 0.
    """

    lower: Tensor
    dead: Tensor
    damping: float

    def check(self, weight: Tensor) -> None:
        """Raises `GenomeError` unless the factor is of the inputs of `weight` (rows, columns)."""
        if len(self.lower) != weight.shape[1]:
            raise GenomeError(
                f"The factor has {len(self.lower)} columns, the weight {weight.shape[1]}; take "
                "the Hessian of this layer's own inputs."
            )


def add_(total: Tensor, inputs: Tensor) -> int:
    """Adds X^T X to `total` in place; returns how many tokens X has.

    `total`: (columns, columns) float32 or float64. `inputs`: (..., columns), any float dtype,
    same device; the product is taken in float32, or in float64 if the inputs have it. The
    second moment is `total / tokens`.
    """
    flat = inputs.reshape(-1, inputs.shape[-1])
    if total.shape != (flat.shape[1], flat.shape[1]):
        raise GenomeError(
            f"Inputs have {flat.shape[1]} columns, the sum is {tuple(total.shape)}; give each "
            "layer a sum of its own width."
        )
    if flat.dtype != torch.float64:
        flat = flat.float()
    total += flat.T @ flat
    return flat.shape[0]


def factored(hessian: Tensor, damping: float = DAMPING) -> Factor:
    """The factor that all levels of a layer share. O(columns^3), in float64.

    `hessian`: (columns, columns), symmetric and positive semidefinite up to rounding. A dead
    column gets the damping alone, so its weights neither give nor take: they are rounded to
    nearest, or pruned first. All dead: the identity. Where the Cholesky fails, damping grows
    tenfold, at most three times. Raises `GenomeError`.
    """
    if hessian.ndim != 2 or hessian.shape[0] != hessian.shape[1]:
        raise GenomeError(f"A Hessian is {tuple(hessian.shape)}; give (columns, columns).")
    exact = hessian.double()
    mean = float(exact.diagonal().mean())
    if not math.isfinite(mean) or not bool(exact.isfinite().all()):
        raise GenomeError(
            "A Hessian holds NaN or infinity, so the layer's inputs did on the calibration text; "
            "run the model in float32 or bfloat16, or leave this layer dense."
        )
    dead = exact.diagonal() == 0
    if dead.all():
        return Factor(torch.eye(len(exact), device=exact.device), dead, damping)
    for _ in range(ATTEMPTS):
        # H = R R^T with R upper, so H^-1 = R^-T R^-1 and R^-T is its lower factor. R is the
        # Cholesky factor of H read backwards: one factorisation, and H is never inverted.
        shifted = exact.clone()
        shifted.diagonal().add_(damping * mean)
        backwards, failed = torch.linalg.cholesky_ex(shifted.flip(0, 1))
        upper = backwards.flip(0, 1)
        if not failed.item() and bool(upper.isfinite().all()):
            eye = torch.eye(len(exact), dtype=exact.dtype, device=exact.device)
            lower = torch.linalg.solve_triangular(upper, eye, upper=True).T
            return Factor(lower.float().contiguous(), dead, damping)
        damping = 10 * damping if damping else DAMPING
    raise GenomeError(
        f"A Hessian of {len(exact)} columns has no Cholesky factor even with {damping / 10:g} of "
        f"its mean diagonal ({mean:.3g}) added: it is no sum of x x^T; rebuild it from the inputs."
    )


def output_error(weight: Tensor, changed: Tensor, hessian: Tensor) -> float:
    """tr(dW H dW^T): the squared error of the outputs, summed over rows, mean over tokens.

    `weight`, `changed`: (rows, columns), any float dtype; the sum is taken in float64.
    """
    delta = weight.double() - changed.double()
    return float(((delta @ hessian.double()) * delta).sum())
