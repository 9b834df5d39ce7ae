"""The algebra of task vectors: trim, weigh, elect signs, sum. Knows flat arrays, no model.

Trimming is a comparison with a level; weighing and summing follow mergekit's order (mask and
weight, models in order, then normalise, scale, add to the base), each product rounded before
its sum, so that bits do not depend on threads. Works through pieces that stay in cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

PIECE = 1 << 16  # elements: the eight float32 buffers of a piece fit a 2 MB cache


@dataclass(frozen=True)
class Term:
    """One expert's share: weight * delta where `above` <= level < `below`, but not at `drop`.

    `delta`: (m,) float32; `level`: (m,) uint8, or None to keep all; `drop`: flat indices.
    """

    delta: torch.Tensor
    weight: float
    level: torch.Tensor | None = None
    above: int = 0
    below: int = 256
    drop: tuple[int, ...] = ()


class Scratch:
    """Buffers of one thread, reused from run to run."""

    def __init__(self, n_terms: int) -> None:
        self.terms = [torch.empty(PIECE) for _ in range(n_terms)]
        self.total, self.mask, self.divisor, self.sign = (torch.empty(PIECE) for _ in range(4))


def merge_(
    out: torch.Tensor,
    base: torch.Tensor,
    terms: Sequence[Term],
    start: int,
    stop: int,
    scratch: Scratch,
    *,
    elect: bool = False,
    normalize: bool = False,
    scale: float = 1.0,
) -> None:
    """Writes base + scale * (sum of terms) into out[start:stop], rounded to `out`'s dtype.

    `out`: (m,) any floating dtype; `base`: (m,) float32. `elect` keeps, element by element, the
    terms whose sign is that of their sum (Yadav et al. 2023, step 2; a sum of 0 counts as
    positive); `normalize` then divides by the kept weights, if these are not 0.
    """
    if not terms:
        out[start:stop] = base[start:stop]
        return
    for a in range(start, stop, PIECE):
        b = min(a + PIECE, stop)
        total = scratch.total[: b - a]
        if elect:
            _elected_(total, terms, a, b, scratch, normalize)
        else:
            _weighed_(total, terms[0], a, b, scratch)
            for term, buffer in zip(terms[1:], scratch.terms):
                total.add_(_weighed_(buffer[: b - a], term, a, b, scratch))
        if scale != 1.0:
            total.mul_(scale)
        out[a:b] = total.add_(base[a:b])


def _weighed_(into: torch.Tensor, term: Term, a: int, b: int, scratch: Scratch) -> torch.Tensor:
    torch.mul(term.delta[a:b], term.weight, out=into)
    if term.level is not None:
        mask = scratch.mask[: b - a]  # float: torch compares into float32 5 times as fast as bool
        if term.below < 256:
            into.mul_(torch.lt(term.level[a:b], term.below, out=mask))
        if term.above > 0:
            into.mul_(torch.ge(term.level[a:b], term.above, out=mask))
        for i in term.drop:
            if a <= i < b:
                into[i - a] = 0
    return into


def _elected_(
    total: torch.Tensor,
    terms: Sequence[Term],
    a: int,
    b: int,
    scratch: Scratch,
    normalize: bool,
) -> None:
    n = b - a
    mask, sign, divisor = scratch.mask[:n], scratch.sign[:n], scratch.divisor[:n]
    weighed = [
        _weighed_(scratch.terms[i][:n], term, a, b, scratch) for i, term in enumerate(terms)
    ]
    total.copy_(weighed[0])
    for one in weighed[1:]:
        total.add_(one)
    torch.ge(total, 0, out=sign)
    sign.mul_(2).sub_(1)
    total.zero_()
    divisor.zero_()
    for one, term in zip(weighed, terms):
        one.mul_(sign)  # now positive where it agrees with the elected sign
        if normalize:
            divisor.add_(torch.gt(one, 0, out=mask).mul_(term.weight))
        total.add_(one.clamp_min_(0))
    total.mul_(sign)
    if normalize:
        divisor.add_(torch.eq(divisor, 0, out=mask))
        total.div_(divisor)
