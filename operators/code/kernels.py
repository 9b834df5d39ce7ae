"""Kernels, strides, groups and pooled sizes, with the padding that keeps shapes mostly as they
are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import libcst as cst
import numpy as np

from evolve.errors import Infertile
from operators.code.flow import short
from operators.code.layers import ADAPTIVE, CONVOLUTIONS, POOLS, SIGNATURES
from operators.code.mutator import Edit, Mutator, Site, edit, sound
from operators.code.tree import argument, code, kind, whole, with_argument
from operators.code.view import View

_LARGEST = 7  # a kernel's side


def kernels() -> Mutator:
    """One of a convolution's kernel, stride or groups, or a pooling's size."""
    return Mutator("kernel", _sites)


def _sites(view: View) -> Iterator[Site]:
    known = {place for _, _, walk in sound(view).values() for place, *_ in walk.places}
    for node in view.nodes:
        if not isinstance(node, cst.Call):
            continue
        if kind(node) in CONVOLUTIONS:
            yield _site(node, view, _kernels)
            yield _site(node, view, _groups)
        if node not in known:
            continue  # what follows from another side of the images is not known
        if kind(node) in CONVOLUTIONS:
            yield _site(node, view, _strides)
        elif kind(node) in POOLS:
            yield _site(node, view, _windows)
        elif kind(node) in ADAPTIVE:
            yield _site(node, view, _sizes)


def _site(node: cst.Call, view: View, others: Callable[[cst.Call, View], list[cst.Call]]) -> Site:
    def site(rng: np.random.Generator) -> Edit:
        found = others(node, view)
        if not found:
            raise Infertile(f"{short(node)} allows no other {others.__name__.strip('_')}.")
        new = found[rng.integers(len(found))]
        return edit(node, new, f"{short(node)} -> {short(new)}")

    return site


def _kernels(node: cst.Call, view: View) -> list[cst.Call]:
    order = SIGNATURES[kind(node)]
    kernel = whole(argument(node, "kernel_size", order), view.constants)
    pad = argument(node, "padding", order)
    dilation = argument(node, "dilation", order)
    same = pad is not None and code(pad).strip("'\"") == "same"
    padding = 0 if pad is None else whole(pad, view.constants)
    if kernel is None or (padding is None and not same):
        return []
    if dilation is not None and whole(dilation, view.constants) != 1:
        return []
    found: list[cst.Call] = []
    for new in (kernel - 2, kernel + 2):
        other = with_argument(node, "kernel_size", order, new)
        if 1 <= new <= _LARGEST and (same or padding is not None):
            wider = 0 if padding is None else padding + (new - kernel) // 2
            if not same and wider != padding:
                other = with_argument(other, "padding", order, max(0, wider))
            found.append(other)
    return found


def _strides(node: cst.Call, view: View) -> list[cst.Call]:
    return _with(node, view, "stride", {1: (2,), 2: (1,)})


def _groups(node: cst.Call, view: View) -> list[cst.Call]:
    """As many groups as divide both widths: fewer weights."""
    order = SIGNATURES[kind(node)]
    ends = [argument(node, name, order) for name in ("in_channels", "out_channels")]
    taken, left = (whole(each, view.constants) for each in ends)
    now = argument(node, "groups", order)
    old = 1 if now is None else whole(now, view.constants)
    if taken is None or left is None:
        return []
    common = math.gcd(taken, left)
    parts = [n for n in {1, 2, 4, common} if common % n == 0 and n != old]
    return [with_argument(node, "groups", order, n) for n in sorted(parts)]


def _windows(node: cst.Call, view: View) -> list[cst.Call]:
    """Windows of 2 or 3, overlapping or not, that halve the side; or none that do."""
    order = SIGNATURES[kind(node)]
    names = ("kernel_size", "stride", "padding")
    old = tuple(whole(argument(node, name, order), view.constants) for name in names)
    found: list[cst.Call] = []
    for new in ((2, None, None), (3, 2, 1), (3, 1, 1)):
        if new != old:
            other = node
            for name, value in zip(names, new):
                if value is None and argument(other, name, order) is not None:
                    value = 2 if name == "stride" else 0
                other = with_argument(other, name, order, value)
            found.append(other)
    return found


def _sizes(node: cst.Call, view: View) -> list[cst.Call]:
    return _with(node, view, "output_size", {1: (2,), 2: (1, 3), 3: (2, 4), 4: (2, 3)})


def _with(
    node: cst.Call, view: View, name: str, others: dict[int, Sequence[int]]
) -> list[cst.Call]:
    order = SIGNATURES[kind(node)]
    now = argument(node, name, order)
    old = 1 if now is None else whole(now, view.constants)
    new = others.get(old, ()) if old is not None else ()
    return [with_argument(node, name, order, each) for each in new]
