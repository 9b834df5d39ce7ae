"""The multiple-choice knapsack, exactly: one choice a group, least loss, cost within a limit.

Dynamic programming over non-dominated states (Nemhauser & Ullmann 1969): a state is what the
groups so far cost and lose. States that cannot be finished within the limit, or whose Lagrangian
bound (Sinha & Zoltners 1979) is above a known solution, are dropped, so that mostly a few
hundred live at once; never more than limit / gcd(costs), and k_j + 1 times as many for each mark.
Knows numbers, no profile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from evolve.errors import GenomeError

Table: TypeAlias = "Sequence[Sequence[float]]"  # [group][choice]
Whole: TypeAlias = "Sequence[Sequence[int]]"

_HALVINGS = 100  # of the multiplier's interval
_ROUNDING = 1e-9  # of the losses' range: what summation may lose


@dataclass(frozen=True)
class _States:
    """What the groups so far amount to, row by row, and how each came to be."""

    cost: np.ndarray  # (n,) int64
    loss: np.ndarray  # (n,) float64
    code: np.ndarray  # (n,) int64: how many of each mark, in a mixed radix
    origin: np.ndarray  # (n,) int64: its state before this group
    choice: np.ndarray  # (n,) int64: of this group


def least_loss(
    losses: Table,
    costs: Whole,
    limit: int,
    *,
    marks: Whole | None = None,
    counts: Sequence[int] = (),
) -> tuple[int, ...]:
    """The choice of each group with the least sum of losses, their costs at most `limit`.

    losses, costs: [group][choice], finite; costs are integers. marks: [group][choice], -1 or a
    j such that exactly counts[j] of the choices taken have mark j. Of equal sums the cheaper one.
    Raises `GenomeError` if nothing fits.
    """
    groups = [(np.asarray(a, np.float64), np.asarray(b, np.int64)) for a, b in zip(losses, costs)]
    _check(losses, groups, len(costs))
    floor = sum(int(cost.min()) for _, cost in groups)
    room = limit - floor
    if room < 0:
        raise GenomeError(
            f"No choice costs at most {limit:,}: the cheapest costs {floor:,}; raise the limit."
        )
    spare = [cost - cost.min() for _, cost in groups]
    step = max(int(np.gcd.reduce(np.concatenate([*spare, [0]]))), 1)
    parts = [(loss, cost // step) for (loss, _), cost in zip(groups, spare)]
    weights = _weights(counts)
    codes = [_codes(row, weights, counts) for row in marks or [[-1] * len(a) for a, _ in parts]]
    return _solve(parts, codes, room // step, int(weights @ np.asarray(counts, np.int64)), counts)


def _solve(
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
    codes: Sequence[np.ndarray],
    room: int,
    goal: int,
    counts: Sequence[int],
) -> tuple[int, ...]:
    weight, known = _relaxed(parts, room)
    if counts:
        known = np.inf  # the relaxed choice need not have the counts
    span = sum(float(np.ptp(loss)) for loss, _ in parts)
    known += _ROUNDING * max(span, abs(known) if np.isfinite(known) else 0.0)
    rests = [float((loss + weight * cost).min()) for loss, cost in parts]
    tails = np.append(np.cumsum(rests[::-1])[::-1][1:], 0.0)  # of the groups after each
    zero = np.zeros(1, np.int64)
    trail: list[_States] = []
    now = _States(zero, np.zeros(1), zero, zero, zero)
    for (loss, cost), code, tail in zip(parts, codes, tails):
        n, m = len(now.cost), len(loss)
        joined = _States(
            (now.cost[:, None] + cost).ravel(),
            (now.loss[:, None] + loss).ravel(),
            (now.code[:, None] + code).ravel(),
            np.repeat(np.arange(n), m),
            np.tile(np.arange(m), n),
        )
        bound = joined.loss + weight * (joined.cost - room) + tail
        able = (joined.cost <= room) & (bound <= known) & _within(joined.code, counts)
        now = _undominated(joined, np.flatnonzero(able))
        trail.append(now)
    ends = np.flatnonzero(now.code == goal)
    if not len(ends):
        raise GenomeError(
            f"No choice has the counts {tuple(counts)} within the limit; change the counts or "
            "raise the limit."
        )
    at = int(ends[np.argmin(now.loss[ends])])
    chosen = []
    for states in reversed(trail):
        chosen.append(int(states.choice[at]))
        at = int(states.origin[at])
    return tuple(reversed(chosen))


def _undominated(states: _States, able: np.ndarray) -> _States:
    """Of those `able`, the ones that nothing as cheap of the same code beats, cheapest first."""
    order = able[np.lexsort((states.loss[able], states.cost[able], states.code[able]))]
    kept = []
    ends = np.flatnonzero(np.diff(states.code[order])) + 1
    for rows in np.split(order, ends):
        loss = states.loss[rows]
        before = np.minimum.accumulate(np.append(np.inf, loss[:-1]))
        kept.append(rows[loss < before])
    rows = np.concatenate(kept)
    return _States(*(each[rows] for each in vars(states).values()))


def _relaxed(parts: Sequence[tuple[np.ndarray, np.ndarray]], room: int) -> tuple[float, float]:
    """The best multiplier of the cost, and the loss of a choice within `room`."""

    def at(weight: float) -> tuple[int, float]:
        cost, loss = 0, 0.0
        for losses, costs in parts:
            value = losses + weight * costs
            i = int(np.lexsort((costs, value))[0])
            cost, loss = cost + int(costs[i]), loss + float(losses[i])
        return cost, loss

    low, high = 0.0, 1.0 + sum(float(np.ptp(loss)) for loss, _ in parts)  # a cost is 1 or more
    cost, known = at(low)
    if cost <= room:
        return low, known
    known = at(high)[1]
    for _ in range(_HALVINGS):
        weight = (low + high) / 2
        cost, loss = at(weight)
        if cost > room:
            low = weight
        else:
            high, known = weight, min(known, loss)
    return high, known


def _weights(counts: Sequence[int]) -> np.ndarray:
    """What one of each mark adds to a state's code; digits up to counts[j] + 1 never carry."""
    return np.cumprod([1, *(k + 2 for k in counts[:-1])], dtype=np.int64)[: len(counts)]


def _codes(row: Sequence[int], weights: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    if any(not -1 <= mark < len(counts) for mark in row):
        raise GenomeError(
            f"The marks {tuple(row)} must be -1 or name one of {len(counts)} counts."
        )
    return np.array([0 if mark < 0 else int(weights[mark]) for mark in row], np.int64)


def _within(code: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """(n,) bool: no mark is there too often."""
    fine = np.ones(len(code), bool)
    for k in counts[:-1]:
        fine &= code % (k + 2) <= k
        code = code // (k + 2)
    return fine & (code <= counts[-1]) if counts else fine


def _check(losses: Table, groups: Sequence[tuple[np.ndarray, np.ndarray]], n: int) -> None:
    if len(losses) != n:
        raise GenomeError(f"There are losses of {len(losses)} groups and costs of {n}.")
    for i, (loss, cost) in enumerate(groups):
        if not len(loss) or loss.shape != cost.shape or not np.isfinite(loss).all():
            raise GenomeError(
                f"Group {i} has the losses {loss} and the costs {cost}; give one finite loss and "
                "one cost a choice, at least one."
            )
