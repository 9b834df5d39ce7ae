"""Scale or step one number, keeping its kind, its sign, and whether it lies within (0, 1).

Leaves alone what is a shape rather than a quantity: the layers' widths and kernels (`widths` and
`kernels` change those in pairs), axes, indices and the arguments of reshaping.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import libcst as cst
import numpy as np

from evolve.errors import Infertile
from operators.code.layers import ADAPTIVE, POOLS, SHAPED
from operators.code.mutator import Edit, Mutator, Site, edit
from operators.code.tree import code, expression, kind
from operators.code.view import View

_SPREAD = 0.5  # of the logarithm of a number
_AXES = {"dim", "axis", "dims", "start_dim", "end_dim", "keepdim", "shape"}
_RESHAPING = {"view", "reshape", "flatten", "permute", "transpose", "unsqueeze", "squeeze", "cat"}
_RESHAPING |= {"mean", "sum", "amax", "stack", "chunk", "split", "expand", "repeat", "movedim"}
_RESHAPING |= {"size", "roll", "flip", "unflatten", "softmax", "log_softmax", "pad", "range"}
_RESHAPING |= {
    "rand",
    "randn",
    "randint",
    "zeros",
    "ones",
    "full",
    "empty",
    "arange",
    "index_select",
}
_SHAPES = SHAPED | POOLS | ADAPTIVE | _RESHAPING
_QUANTITIES = {"eps", "momentum", "p"}  # of shaped layers


def literals() -> Mutator:
    """One number of a region."""
    return Mutator("literal", _sites)


def _sites(view: View) -> Iterator[Site]:
    shared = {name for name, value in view.constants.items() if isinstance(value, int)}
    for node in view.nodes:
        if isinstance(node, cst.Float) and float(node.value) > 0:
            if not _is_shape(node, view):
                yield _scaled(node, view)
        elif isinstance(node, cst.Integer) and node.value.isdigit() and int(node.value) > 0:
            above = view.parents[node]
            if not _is_shape(node, view) and not _names_shape(above, shared):
                yield _stepped(node, view)


def _scaled(node: cst.Float, view: View) -> Site:
    def site(rng: np.random.Generator) -> Edit:
        old, step = float(node.value), float(np.exp(_SPREAD * rng.standard_normal()))
        new = old * step
        if 0.5 < old < 1:  # 0.9 moves as its distance to 1 does
            new = 1 - (1 - old) * step
        if old < 1 and not 0 < new < 1:
            new = (old + 1) / 2 if new >= 1 else old / 2
        if not math.isfinite(new):
            raise Infertile(f"{node.value} times {step:.3g} is no number that can be written.")
        return _to(node, _rounded(new, old), view)

    return site


def _stepped(node: cst.Integer, view: View) -> Site:
    def site(rng: np.random.Generator) -> Edit:
        old = int(node.value)
        half = round(Fraction(3 * old, 2))  # no float: there is none for 10**309
        choices = sorted({old - 1, old + 1, old // 2, old * 2, half} - {0, old, -1})
        return _to(node, choices[rng.integers(len(choices))], view)

    return site


def _to(node: cst.BaseNumber, new: float, view: View) -> Edit:
    above = view.parents[node]
    told = code(above) if isinstance(above, cst.Arg) else ""
    name = above.keyword.value + "=" if isinstance(above, cst.Arg) and above.keyword else ""
    if not told:
        name = f"in {view.scope(node) or view.name}: "
    return edit(node, expression(new), f"{name}{code(node)} -> {new!r}")


def _rounded(new: float, old: float) -> float:
    """`new` at three significant digits, or more if that is `old`."""
    for digits in range(2, 17):
        near = float(f"{new:.{digits}e}")
        if near != old and not (old < 1 <= near):
            return near
    return math.nextafter(old, 0.0)


def _is_shape(node: cst.CSTNode, view: View) -> bool:
    """Whether a number counts axes, indices, or what a layer's shapes are."""
    child, above = node, view.parents[node]
    while above is not None and not isinstance(above, cst.BaseSmallStatement | cst.FunctionDef):
        if isinstance(above, cst.SubscriptElement):
            return True
        if isinstance(child, cst.Arg) and isinstance(above, cst.Call):
            name = child.keyword.value if child.keyword else ""
            if name in _AXES:
                return True
            if kind(above) in _SHAPES:
                return name not in _QUANTITIES
            if kind(above) in view.classes:
                return isinstance(node, cst.Integer)
        child, above = above, view.parents[above]
    return False


def _names_shape(above: cst.CSTNode | None, shared: set[str]) -> bool:
    """Whether a whole number is one that a name stands for: `widths` changes those used so."""
    if isinstance(above, cst.Param):
        return above.name.value in shared
    if isinstance(above, cst.Assign):
        target = above.targets[0].target
        return isinstance(target, cst.Name) and target.value in shared
    return False
