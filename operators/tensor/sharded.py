"""Survival of one huge population that is ranked in parts on several devices.

Each device gets an equal part of the costs; the rows that survivors can depend on meet where the
costs are, and the selection chooses among these. Knows costs, not genomes; the ranking is
operators/selection/sharded.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from operators.selection import NSGA2, NSGA3, HypE, Selected, contenders
from operators.selection.arguments import check_survival


@dataclass(frozen=True, eq=False)
class Sharded:
    """`selection` after a ranking in parts: the same survivors, order and state as on the whole.

    It helps only where one device's ranking is the bottleneck. Not measured on GPUs; on one CPU
    core NSGA-III's survival of 100,000 rows of three costs took 1.9 times (few fronts) to 3.8
    times (many) as long in four parts as whole. One thread drives all devices. For example
    `Evolution(..., selection=Sharded(NSGA3(points), devices), state=Memory.blank(m))`.

    selection: one that looks at no row beyond the fronts that reach k, but for the worst of each
    objective. devices: one or more, of torch, and as many parts; the same one may come again.
    Raises ValueError for others.
    """

    selection: NSGA2 | NSGA3 | HypE
    devices: Sequence[torch.device | str]

    def __post_init__(self) -> None:
        if not isinstance(self.selection, (NSGA2, NSGA3, HypE)):
            raise ValueError(
                f"Sharded got a selection {type(self.selection).__name__}, expected NSGA2, NSGA3 "
                "or HypE, whose survivors hang on the first fronts alone; use it without Sharded."
            )
        try:
            named = not isinstance(self.devices, str)
            devices = tuple(map(torch.device, self.devices)) if named else ()
        except RuntimeError as error:
            raise ValueError(f"Sharded got devices {self.devices!r}: {error}") from error
        if not devices:
            raise ValueError(
                f"Sharded got devices {self.devices!r}, expected a list of one or more, e.g. "
                "[torch.device('cuda:0'), torch.device('cuda:1')]."
            )
        _check_present(devices)
        object.__setattr__(self, "devices", devices)

    def __call__(
        self,
        costs: Tensor,
        k: int,
        *,
        violation: Tensor | None = None,
        state: object | None = None,
        generator: torch.Generator,
    ) -> Selected:
        """Exactly `k` survivors of `costs` (n, m) float; arguments as for the selection."""
        check_survival(costs, k, violation, generator, "Sharded")
        violations = None if violation is None else self._parts(violation)
        found = contenders(self._parts(costs), k, violations)
        chosen = self.selection(
            found.costs.to(costs.device),
            k,
            violation=None if found.violation is None else found.violation.to(costs.device),
            state=state,
            generator=generator,
        )
        return Selected(found.rows.to(costs.device)[chosen.indices], chosen.state)

    def _parts(self, rows: Tensor) -> list[Tensor]:
        """`rows` (n, ...) in as many parts as devices, each on its own."""
        parts = torch.tensor_split(rows, len(self.devices))
        return [part.to(device) for part, device in zip(parts, self.devices)]


def _check_present(devices: Sequence[torch.device]) -> None:
    """ValueError for a CUDA device that is not here; no device is woken for that."""
    n_there = torch.cuda.device_count()
    for device in devices:
        if device.type == "cuda" and (device.index or 0) >= n_there:
            raise ValueError(
                f"Sharded got {device}, but torch sees {n_there} CUDA devices here, expected "
                "devices of this machine; build it where it runs, or use ['cpu']."
            )
