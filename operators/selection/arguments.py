"""Checks of what callers pass to a ranking, a selection or a mating. Knows no algorithm.

Each check raises a `ValueError` that says what came, what was expected and what to do.
"""

from __future__ import annotations

import torch
from torch import Tensor

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def check_costs(costs: Tensor, who: str) -> None:
    """(n, m) floating, n >= 0, m >= 1; any values."""
    if not isinstance(costs, Tensor):
        raise ValueError(
            f"{who} got costs of type {type(costs).__name__}, expected a torch tensor (n, m); "
            "pass torch.as_tensor(costs)."
        )
    if costs.ndim != 2 or costs.shape[1] == 0:
        raise ValueError(
            f"{who} got costs of shape {tuple(costs.shape)}, expected (n, m) with one row a "
            "candidate and one column an objective; reshape them."
        )
    if costs.dtype not in FLOATS:
        raise ValueError(
            f"{who} got costs of {costs.dtype}, expected floats of 16, 32 or 64 bits; use "
            "costs.double()."
        )


def check_violation(violation: Tensor | None, costs: Tensor, who: str) -> None:
    """None, or (n,) of the costs' dtype and device."""
    if violation is None:
        return
    if not isinstance(violation, Tensor) or violation.shape != costs.shape[:1]:
        came = (
            tuple(violation.shape) if isinstance(violation, Tensor) else type(violation).__name__
        )
        raise ValueError(
            f"{who} got violation {came}, expected a tensor ({costs.shape[0]},): one number a row "
            "of costs, 0 for feasible; sum several constraints first."
        )
    if violation.dtype != costs.dtype or violation.device != costs.device:
        raise ValueError(
            f"{who} got violation in {violation.dtype} on {violation.device} with costs in "
            f"{costs.dtype} on {costs.device}, expected the same; use violation.to(costs)."
        )


def check_generator(generator: torch.Generator, who: str) -> None:
    """A CPU generator, whatever the costs' device: the same keys everywhere."""
    if not isinstance(generator, torch.Generator):
        raise ValueError(
            f"{who} got a generator of type {type(generator).__name__}, expected a "
            "torch.Generator; pass torch.Generator().manual_seed(seed)."
        )
    if generator.device.type != "cpu":
        raise ValueError(
            f"{who} got a generator on {generator.device}, expected one on the CPU (keys are "
            "drawn there and moved); pass torch.Generator().manual_seed(seed)."
        )


def check_survival(
    costs: Tensor, k: int, violation: Tensor | None, generator: torch.Generator, who: str
) -> None:
    """All that a selection is given, and 1 <= k <= n."""
    check_costs(costs, who)
    check_violation(violation, costs, who)
    check_generator(generator, who)
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= costs.shape[0]:
        raise ValueError(
            f"{who} was asked for k={k!r} survivors of {costs.shape[0]} rows, expected an int "
            f"from 1 to {costs.shape[0]}; give more candidates or a smaller k."
        )


def check_several_objectives(costs: Tensor, who: str) -> None:
    """m >= 2: with one objective a front is a value, and crowding or niches mean nothing."""
    if costs.shape[1] == 1:
        raise ValueError(
            f"{who} got costs {tuple(costs.shape)} with one objective, expected two or more; "
            "use Truncation() for one objective."
        )


def checked_points(points: Tensor, who: str) -> Tensor:
    """`points` (r, m) in float64, without their gradient; or ValueError.

    Finite, not negative, no zero row, m >= 2.
    """
    if not isinstance(points, Tensor) or points.ndim != 2 or points.dtype not in FLOATS:
        came = type(points).__name__
        if isinstance(points, Tensor):
            came = f"{tuple(points.shape)} {points.dtype}"
        raise ValueError(
            f"{who} got points {came}, expected a tensor (r, m) of floats of 16, 32 or 64 bits; "
            "use das_dennis(n_objectives, divisions)."
        )
    if points.shape[0] == 0 or points.shape[1] < 2:
        raise ValueError(
            f"{who} got points {tuple(points.shape)}, expected one or more points of two or more "
            "objectives; use Truncation() for one objective."
        )
    if not bool((torch.isfinite(points) & (points >= 0)).all() & (points > 0).any(1).all()):
        raise ValueError(
            f"{who} got points with a NaN, an infinity, a negative coordinate or a zero row, "
            "expected points of the positive orthant; use das_dennis(n_objectives, divisions)."
        )
    return points.detach().double()
