"""GPTQ: columns rounded one after another, each error taken over by the columns to come.

Knows a weight and its Hessian's factor, no layer. The arithmetic is the published algorithm's,
looking left instead of right: a block first takes over all errors made before it (one matrix
product), then goes column by column. A group's scale is set when the group starts, from weights
that hold every earlier error (the authors' code skips those of the current block).

Source: Frantar et al. 2022, "GPTQ: Accurate post-training quantization", alg. 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evolve.levels.hessian import Factor
from evolve.levels.quantise import FITTED, Quantised, check, codes_of, scales_of

BLOCK = 128  # columns


def gptq(
    weight: Tensor,
    factor: Factor,
    bits: int,
    group: int,
    dtype: torch.dtype,
    multiples: Sequence[float] = FITTED,
) -> Quantised:
    """`weight` (rows, columns) on a symmetric grid of `bits`, its scales in `dtype`.

    One `factor` serves all bit-widths and groups. `multiples` of the full scale: of several, a
    group takes that of least error, by the loss that GPTQ itself counts; FULL is as published.
    O(rows columns^2); 9 bytes a weight besides the arguments. All on one device. Raises
    `GenomeError`.
    """
    check(weight, bits, group)
    factor.check(weight)
    rows, columns = weight.shape
    lower = factor.lower
    tall = weight.float().T.contiguous()  # a column is contiguous: (columns, rows)
    errors = torch.empty_like(tall)
    codes = torch.empty_like(tall, dtype=torch.int8)
    scales = torch.empty(columns // group, rows, dtype=torch.float32, device=tall.device)
    spread = lower.diagonal().tolist()
    for i, home in enumerate(range(0, columns, group)):
        end = home + group
        for start in range(home, end, BLOCK):
            stop = min(start + BLOCK, end)
            # The whole group at its start, as its scale wants it; later blocks of it again.
            ahead = end if start == home else stop
            block = torch.addmm(
                tall[start:ahead], lower[start:ahead, :start], errors[:start], alpha=-1
            )
            if start == home:
                importance = lower.diagonal()[home:end, None] ** -2
                scales[i] = scales_of(block, bits, dtype, multiples, importance)
            scale = scales[i]
            for j in range(start, stop):
                column = block[j - start]
                if j > start:
                    column = torch.addmv(column, errors[start:j].T, lower[j, start:j], alpha=-1)
                code = codes_of(column, scale, bits)
                codes[j] = code
                error = column.sub_(code.mul_(scale).to(dtype))
                torch.div(error, spread[j], out=errors[j])
    return Quantised(codes.T.contiguous(), scales.T.to(dtype).contiguous(), bits)
