"""KL(dense || candidate) of next-token distributions, in one pass over the candidate's logits.

With p the dense model's probabilities and z a candidate's logits, KL = c + logsumexp(z) - p.z,
where c is what makes it 0 for the dense model's own z. Of a vocabulary cut to its k likeliest
tokens, the rest is one more bucket on both sides: by the data-processing inequality that KL is
never above the full one. Knows logits, no model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CHUNK = 2**18  # logits at a time on a CPU: they stay in its cache from pass to pass


@dataclass(frozen=True, eq=False)
class Target:
    """What the dense model predicts at t positions.

    p: (t, k) float32 probabilities; ids: (t, k) int32, None: all tokens in order; rest: (t,)
    float32 probability of all others, None if there are none; offset: (t,) float32, c above.
    """

    p: torch.Tensor
    ids: torch.Tensor | None
    rest: torch.Tensor | None
    offset: torch.Tensor

    @property
    def size(self) -> int:
        """Bytes."""
        kept = (self.p, self.ids, self.rest, self.offset)
        return sum(each.nbytes for each in kept if each is not None)


def target_of(logits: torch.Tensor, k: int) -> Target:
    """The target of the dense model's `logits` (t, v); k 0 or >= v: the full vocabulary.

    Works on a copy.
    """
    import torch

    ids = None
    if 0 < k < logits.shape[1]:
        ids = logits.topk(k, dim=1).indices.sort(dim=1).values.int()
    p, rest = [], []
    for part in _parts(logits):
        every = logits[part].float().softmax(1)
        if ids is None:
            p.append(every)
            continue
        near = ids[part].long()
        p.append(every.gather(1, near))
        rest.append(every.scatter_(1, near, 0.0).sum(1))
    zero = logits.new_zeros(len(logits), dtype=torch.float32)
    found = Target(torch.cat(p), ids, torch.cat(rest) if rest else None, zero)
    own, _ = divergence_(logits.float().clone(), found, zero.long())
    return replace(found, offset=-own)


def divergence_(
    logits: torch.Tensor, target: Target, following: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(t,) float32 KL in nats at each position, and -log q of the token that follows.

    logits: (t, v), float32 ones are written over; following: (t,) int64.
    """
    import torch

    found = [
        _divergence_(logits[part].float(), _cut(target, part), following[part])
        for part in _parts(logits)
    ]
    kl, loss = zip(*found)
    return torch.cat(kl), torch.cat(loss)


def _parts(logits: torch.Tensor) -> list[slice]:
    """The positions in chunks: by `CHUNK` on a CPU, all at once on a GPU."""
    count, vocabulary = logits.shape
    step = count if logits.is_cuda else max(1, CHUNK // vocabulary)
    return [slice(i, i + step) for i in range(0, count, max(1, step))]


def _cut(target: Target, part: slice) -> Target:
    ids, rest = target.ids, target.rest
    return Target(
        target.p[part],
        None if ids is None else ids[part],
        None if rest is None else rest[part],
        target.offset[part],
    )


def _divergence_(
    z: torch.Tensor, target: Target, following: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `divergence_` of one chunk (t, v) float32, which is written over."""
    import torch

    z.sub_(z.amax(1, keepdim=True))  # shifts both terms alike, and keeps exp and p.z small
    said = z.gather(1, following[:, None])[:, 0]
    if target.ids is None or target.rest is None:
        mean = torch.linalg.vecdot(target.p, z)
        partition = z.exp_().sum(1).log()
        return target.offset + (partition - mean), partition - said
    ids = target.ids.long()
    near = z.gather(1, ids)
    mean = torch.linalg.vecdot(target.p, near)
    # Summed by itself: 1 - (sum of the near ones) would lose a small rest.
    far = z.exp_().scatter_(1, ids, 0.0).sum(1).clamp_min(torch.finfo(z.dtype).tiny)
    partition = (far + near.exp_().sum(1)).log()
    return target.offset + (partition - mean - target.rest * far.log()), partition - said
