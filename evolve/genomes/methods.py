"""Merge methods and their typed parameters, in mergekit's words. Knows no model and no tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from evolve.errors import GenomeError

GRID = 256  # densities are multiples of 1/256: a magnitude rank then fits in one byte


class Each(StrEnum):
    """What a parameter has one value for, in every cell."""

    INPUT = "input"  # the base, then the experts
    EXPERT = "expert"
    CELL = "cell"  # one for all models


class Method(StrEnum):
    """How tensors are merged; values are mergekit's names."""

    # realised by our own arithmetic on cached task vectors
    LINEAR = "linear"  # Wortsman et al. 2022
    TASK_ARITHMETIC = "task_arithmetic"  # Ilharco et al. 2023
    TIES = "ties"  # Yadav et al. 2023
    DARE_TIES = "dare_ties"  # Yu et al. 2024
    DARE_LINEAR = "dare_linear"
    BREADCRUMBS = "breadcrumbs"  # Davari & Belilovsky 2024
    # realised by mergekit in memory
    SLERP = "slerp"  # two experts; the base is not an input
    NUSLERP = "nuslerp"  # two experts' task vectors
    DELLA = "della"  # Deep et al. 2024
    SCE = "sce"  # Wan et al. 2024
    MODEL_STOCK = "model_stock"  # Jang et al. 2024; nothing to tune
    KARCHER = "karcher"  # mean on the sphere; nothing to tune

    @property
    def ours(self) -> bool:
        """Whether our arithmetic realises it, rather than mergekit's."""
        return self in OURS

    @property
    def pair(self) -> bool:
        """Whether it takes exactly two experts."""
        return self in (Method.SLERP, Method.NUSLERP)

    @property
    def elects(self) -> bool:
        """Whether signs are elected across experts (TIES, step 2), so a soup is not reachable."""
        return self in (Method.TIES, Method.DARE_TIES, Method.DELLA)


OURS = (
    Method.LINEAR,
    Method.TASK_ARITHMETIC,
    Method.TIES,
    Method.DARE_TIES,
    Method.DARE_LINEAR,
    Method.BREADCRUMBS,
)


@dataclass(frozen=True)
class Parameter:
    """One merge parameter: its bounds, its neutral value, and whether it evolves.

    `grid`: snapped to multiples of 1/256. `fixed`: its value everywhere, without a gene.
    `neutral` of a weight is None: one over the number of models.
    """

    name: str
    low: float
    high: float
    neutral: float | None
    each: Each
    grid: bool = False
    fixed: float | None = None

    def between(self, low: float, high: float) -> Parameter:
        """The same with other bounds. Raises `GenomeError` unless finite and low <= high."""
        floor, ceiling = HARD.get(self.name, (float("-inf"), float("inf")))
        if self.each is Each.INPUT:
            floor = 0.0
        if not (floor <= low <= high <= ceiling) or max(abs(low), abs(high)) == float("inf"):
            raise GenomeError(
                f"Bounds ({low}, {high}) of {self.name!r} are not an interval inside "
                f"[{floor}, {ceiling}]; give low <= high there."
            )
        return replace(self, low=low, high=high)

    def held(self, value: float) -> Parameter:
        """The same, fixed at `value`. Raises `GenomeError` outside its natural range."""
        if self.each is Each.INPUT and value <= 0:
            raise GenomeError(f"{self.name} is normalised and fixed at {value}; give more than 0.")
        return replace(self.between(value, value), fixed=value)


HARD = {
    "density": (0.0, 1.0),
    "gamma": (0.0, 1.0),
    "epsilon": (0.0, 0.5),
    "select_topk": (0.0, 1.0),
    "t": (0.0, 1.0),
}
_FREE = Parameter("weight", -0.5, 1.5, None, Each.EXPERT)
_SHARE = Parameter("weight", 0.0, 1.0, None, Each.EXPERT)  # normalised: only ratios matter
_DENSITY = Parameter("density", 0.0, 1.0, 1.0, Each.EXPERT, grid=True)
_SCALE = Parameter("lambda", 0.0, 2.0, 1.0, Each.CELL)
_T = Parameter("t", 0.0, 1.0, 0.5, Each.CELL)

PARAMETERS: dict[Method, tuple[Parameter, ...]] = {
    Method.LINEAR: (Parameter("weight", 0.0, 1.0, None, Each.INPUT),),
    Method.TASK_ARITHMETIC: (_FREE,),
    Method.TIES: (_SHARE, _DENSITY, _SCALE),
    Method.DARE_TIES: (_FREE, _DENSITY),
    Method.DARE_LINEAR: (_FREE, _DENSITY),
    Method.BREADCRUMBS: (
        _FREE,
        _DENSITY,
        Parameter("gamma", 0.0, 26 / GRID, 3 / GRID, Each.EXPERT, grid=True),
    ),
    Method.SLERP: (_T,),
    Method.NUSLERP: (_T,),
    Method.DELLA: (
        _SHARE,
        _DENSITY,
        Parameter("epsilon", 0.0, 0.25, 0.15, Each.EXPERT),
        _SCALE,
    ),
    Method.SCE: (Parameter("select_topk", 0.0, 1.0, 1.0, Each.CELL),),
    Method.MODEL_STOCK: (),
    Method.KARCHER: (),
}


def parameters_of(
    method: Method, bounds: Mapping[str, tuple[float, float]], fixed: Mapping[str, float]
) -> tuple[Parameter, ...]:
    """The method's parameters with the caller's bounds and fixed values."""
    names = [parameter.name for parameter in PARAMETERS[method]]
    unknown = sorted({*bounds, *fixed} - set(names))
    if unknown:
        raise GenomeError(
            f"{method.value} has no parameter {', '.join(unknown)}; it has "
            f"{', '.join(names) or 'none'}."
        )
    chosen = []
    for parameter in PARAMETERS[method]:
        if parameter.name in bounds:
            parameter = parameter.between(*bounds[parameter.name])
        if parameter.name in fixed:
            parameter = parameter.held(fixed[parameter.name])
        chosen.append(parameter)
    return tuple(chosen)
