"""What shape reaches each layer of a chain, and the arguments that make the layers fit it.

An edit changes one thing, as a width; walking the chain again pairs the rest. Knows the shapes of
images and rows, not what the layers compute. Nothing is run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import libcst as cst

from evolve.errors import Infertile
from operators.code import layers
from operators.code.chains import Step, Tied
from operators.code.layers import SIGNATURES, Widths, widths
from operators.code.tree import argument, code, kind, number, prefix, whole, with_argument
from operators.code.view import View

SMALLEST = 8  # pixels a side that images are taken to have if nothing says it
_SIDES = (8, 16, 32, 28, 64, 224, 24, 12, 48, 96, 128, 256, 14, 20, 40, 56, 112, 9, 10, 11, 13)
_RESHAPING = {"Flatten", "Unflatten", "flatten", "reshape", "view", "mean", "amax"}


@dataclass(frozen=True)
class Flow:
    """A batch between two layers: `width` channels or features, None if not known; `side` of
    square images, `exact` if the source says it; `flat`: rows, not images."""

    width: int | None = None
    side: int | None = None
    exact: bool = False
    flat: bool | None = None


@dataclass(frozen=True)
class Ends:
    """What a chain's surroundings rely on: `first` is the width that its first layer takes,
    `last` what leaves it. `factor`: rows' features a channel where images of unknown side are
    flattened. `direct`: the first layer takes what comes in, not reshaped."""

    first: int | None
    last: Flow
    side: int | None
    factor: int | None
    flat: bool | None = None
    direct: bool = False


@dataclass
class Walk:
    """`places`: each call with the shapes before and after it. `new`: calls that had to change;
    `notes` say how. `makers`: calls that set a width; `taken`: those whose width is taken by a
    layer that can follow."""

    places: list[tuple[cst.Call, Flow, Flow]] = field(default_factory=list)
    new: dict[cst.Call, cst.Call] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    makers: list[cst.Call] = field(default_factory=list)
    taken: set[cst.Call] = field(default_factory=set)
    flow: Flow = Flow()
    pending: bool = True  # no layer has taken a width yet
    unsure: cst.Call | None = None  # flattens images whose side is not known


class _Other(Exception):
    """The width that leaves must be another one."""

    def __init__(self, maker: cst.Call, width: int) -> None:
        self.maker, self.width = maker, width


def ends(steps: Sequence[Step], view: View) -> Ends:
    """What the surroundings of a chain, as it stands, rely on."""
    open_end = Ends(None, Flow(), None, None)
    first = _walk(steps, view, open_end, {}, mend=False)
    taker = next((call for call, before, _ in first.places if _takes(call, view)), None)
    width = _taken(taker, view) if taker is not None else None
    names = [kind(call) for call, *_ in first.places]
    before = names[: _index(first, taker)] if taker is not None else names
    found = Ends(width, Flow(), None, None, _flat(names), not _RESHAPING & set(before))
    unsure = _walk(steps, view, found, {}, mend=False).unsure
    if unsure is not None:
        sides = [each for each in _SIDES if _stands(steps, view, replace(found, side=each))]
        factor = None if sides else _factor(first, unsure, view)
        found = replace(found, side=sides[0] if sides else None, factor=factor)
    return replace(found, last=_walk(steps, view, found, {}, mend=False).flow)


def _stands(steps: Sequence[Step], view: View, wanted: Ends) -> bool:
    """Whether the chain fits these ends as it is."""
    try:
        return not mended(steps, view, wanted).new
    except Infertile:
        return False


def _factor(walk: Walk, flattening: cst.Call, view: View) -> int | None:
    """Features a channel, by what the next layer takes."""
    at = _index(walk, flattening)
    width = walk.places[at][1].width
    for call, *_ in walk.places[at + 1 :]:
        if _takes(call, view):
            taken = _taken(call, view)
            return taken // width if taken and width and taken % width == 0 else None
    return None


def mended(steps: Sequence[Step], view: View, wanted: Ends) -> Walk:
    """The walk along `steps` between the ends `wanted`. Raises `Infertile` if nothing fits."""
    forced: dict[cst.Call, int] = {}
    for _ in range(6):
        try:
            walk = _walk(steps, view, wanted, forced, mend=True)
            _join(walk, wanted.last)
            return walk
        except _Other as other:
            if other.maker in forced:
                break
            forced[other.maker] = other.width
    raise Infertile("no widths fit the layers' ends; the layers cannot be joined.")


def _walk(
    steps: Sequence[Step], view: View, ends: Ends, forced: Mapping[cst.Call, int], mend: bool
) -> Walk:
    side = ends.side or SMALLEST
    width = ends.first if ends.direct else None
    walk = Walk(flow=Flow(width, side, ends.side is not None, ends.flat))
    _steps(walk, steps, view, ends, forced, mend)
    return walk


def _steps(
    walk: Walk,
    steps: Sequence[Step],
    view: View,
    ends: Ends,
    forced: Mapping[cst.Call, int],
    mend: bool,
) -> None:
    for step in steps:
        if step is None:
            walk.flow = Flow()
            walk.pending = False
        elif isinstance(step, Tied):
            before = walk.flow
            outer, walk.makers = walk.makers, []
            _steps(walk, step.steps, view, ends, forced, mend)
            if mend:
                _join(walk, before)
                if walk.flow.side not in (before.side, 1, None) and before.side is not None:
                    raise Infertile("images would be joined with smaller or larger ones.")
            gap = [] if walk.flow.width is not None else walk.makers
            walk.makers = [*outer, *gap]  # what is tied keeps its width
            if before.width is not None:
                walk.flow = before
        else:
            _step(walk, step, view, ends, forced, mend)


def _step(
    walk: Walk,
    old: cst.Call,
    view: View,
    ends: Ends,
    forced: Mapping[cst.Call, int],
    mend: bool,
) -> None:
    call, before, role = old, walk.flow, widths(kind(old), view.classes)
    if role is not None:
        if before.width is None and walk.pending and ends.first is not None:
            before = replace(before, width=ends.first)
        walk.pending = False
        if mend:
            call = _fitted(call, before, role, view, forced.get(old))
    after = _after(call, before, role, view, ends, walk)
    if mend:
        _check(call, before, after, role)
    if call is not old:
        walk.new[old] = call
        walk.notes.append(f"{short(old)} -> {short(call)}")
    taken = role and whole(argument(old, role.input, role.order), view.constants)
    if role is not None and role.output and taken is not None:
        if walk.makers and before.width is not None:
            walk.taken.add(walk.makers[-1])
        walk.makers.append(old)
    elif (role is None and after.width is None) or (role is not None and taken is None):
        walk.makers.append(old)  # what it takes is not known, so what comes before must stay
    walk.places.append((old, before, after))
    walk.flow = after


def _fitted(call: cst.Call, flow: Flow, role: Widths, view: View, forced: int | None) -> cst.Call:
    """`call` with the input's width of `flow`, and the output's if `forced`."""
    names, order = view.constants, role.order
    old = whole(argument(call, role.input, order), names)
    new = flow.width if flow.width is not None and old is not None else old
    out = whole(argument(call, role.output, order), names) if role.output else None
    groups = whole(argument(call, "groups", order), names) or 1
    if new != old and new is not None:
        call = with_argument(call, role.input, order, new)
    if forced is not None and out is not None and forced != out:
        call, out = with_argument(call, role.output, order, forced), forced
    if groups > 1 and new and out:
        if groups == old and forced is None and new != old:  # depthwise stays depthwise
            call = with_argument(call, role.output, order, new * max(1, out // old))
            call = with_argument(call, "groups", order, new)
        elif math.gcd(groups, new, out) != groups:
            call = with_argument(call, "groups", order, math.gcd(groups, new, out))
    parts = whole(argument(call, "num_groups", order), names)
    if parts and new and new % parts:
        call = with_argument(call, "num_groups", order, math.gcd(parts, new))
    return call


def _after(
    call: cst.Call, flow: Flow, role: Widths | None, view: View, ends: Ends, walk: Walk
) -> Flow:
    name, names = kind(call), view.constants
    order = SIGNATURES.get(name, role.order if role else ())
    if name in layers.KEEPING or (role is None and not call.args and name != "Flatten"):
        return flow
    if role is not None:
        if role.output:
            flow = replace(flow, width=whole(argument(call, role.output, order), names))
        if name == "Linear":
            return Flow(flow.width, flat=True)
        if role.output and flow.side:
            flow = replace(flow, side=_side(call, flow.side, order, view))
        return replace(flow, flat=False) if _on_maps(name, order) else flow
    if name in layers.ADAPTIVE:
        side = _pair(argument(call, "output_size", order), view)
        return Flow(flow.width, side, side is not None, False)
    if name in layers.POOLS:
        return replace(flow, side=flow.side and _side(call, flow.side, order, view), flat=False)
    shape = _shape(call, view)
    if name in ("Unflatten", "reshape", "view") and len(shape) == 3:
        return Flow(shape[0], shape[1], shape[1] == shape[2], False)
    if name in ("mean", "amax") and ("2, 3" in code(call) or "-2, -1" in code(call)):
        return Flow(flow.width, flat=True)
    if name in ("Flatten", "flatten") or (name in ("reshape", "view") and shape == (-1,)):
        return _flattened(call, flow, ends, walk)
    return Flow()


def _flattened(call: cst.Call, flow: Flow, ends: Ends, walk: Walk) -> Flow:
    if flow.flat or flow.width is None:
        return Flow(flow.width if flow.flat else None, flat=True)
    if flow.exact and flow.side:
        return Flow(flow.width * flow.side**2, flat=True)
    walk.unsure = call
    return Flow(flow.width * ends.factor if ends.factor else None, flat=True)


def _side(call: cst.Call, side: int, order: Sequence[str], view: View) -> int | None:
    """The side of the images that leave a convolution or a pooling."""
    kernel = _pair(argument(call, "kernel_size", order), view)
    step = argument(call, "stride", order)
    if kind(call) not in SIGNATURES:  # a class of the program keeps the side but for its stride
        known = _pair(step, view) if step is not None else 1
        return None if not known else -(-side // known)
    stride = _pair(step, view) if step is not None else 1 if "stride" in order[3:4] else kernel
    pad = argument(call, "padding", order)
    if pad is not None and code(pad).strip("'\"") == "same":
        return side
    padding = _pair(pad, view) if pad is not None else 0
    dilation = whole(argument(call, "dilation", order), view.constants) or 1
    if kernel is None or not stride or padding is None:
        return None
    return (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _pair(node: cst.BaseExpression | None, view: View) -> int | None:
    """3 for `3` and for `(3, 3)`."""
    if isinstance(node, cst.Tuple):
        values = {number(each.value, view.constants) for each in node.elements}
        only = values.pop()
        return only if not values and isinstance(only, int) else None
    return whole(node, view.constants)


def _shape(call: cst.Call, view: View) -> tuple[int, ...]:
    """The numbers that a reshaping keeps beside the batch, if they are known."""
    args = [arg.value for arg in call.args]
    if kind(call) == "Unflatten":
        last = args[-1] if args else None
        args = [e.value for e in last.elements] if isinstance(last, cst.Tuple) else []
    else:
        args = args[1:]  # the batch
    found = [whole(each, view.constants) for each in args]
    return tuple(each for each in found if each is not None) if None not in found else ()


def _join(walk: Walk, wanted: Flow) -> None:
    flow = walk.flow
    if wanted.flat is not None and flow.flat is not None and wanted.flat != flow.flat:
        raise Infertile("the layers would leave images where rows are expected, or the reverse.")
    if wanted.exact and flow.exact and flow.side != wanted.side and not flow.flat:
        raise Infertile(f"the layers would leave sides of {flow.side}, not {wanted.side}.")
    if None not in (wanted.width, flow.width) and wanted.width != flow.width:
        if not walk.makers or wanted.width is None:
            raise Infertile("the width of the layers' end cannot be kept.")
        raise _Other(walk.makers[-1], wanted.width)


def _check(call: cst.Call, before: Flow, after: Flow, role: Widths | None) -> None:
    name = kind(call)
    if before.flat is True and _on_maps(name, role.order if role else ()):
        raise Infertile(f"{name} would be given rows, not images.")
    if before.flat is False and name in layers.ON_ROWS:
        raise Infertile(f"{name} would be given images, not rows.")
    if after.side is not None and after.side < 1:
        raise Infertile(f"{name} would be given images of {before.side} pixels a side.")
    if name == "InstanceNorm2d" and before.side == 1:
        raise Infertile("InstanceNorm2d would be given single pixels.")
    if name in ("Flatten", "flatten") and before.width is not None and after.width is None:
        raise Infertile("how many features Flatten would leave is not known.")


def _takes(call: cst.Call, view: View) -> bool:
    return widths(kind(call), view.classes) is not None


def _taken(call: cst.Call, view: View) -> int | None:
    """The width that a layer takes, if it is a number."""
    role = widths(kind(call), view.classes)
    return whole(argument(call, role.input, role.order), view.constants) if role else None


def _on_maps(name: str, order: Sequence[str]) -> bool:
    """Whether a layer takes images; a class of the program's own, by its parameters."""
    return name in layers.ON_MAPS or "stride" in order or "kernel_size" in order


def _flat(names: Sequence[str]) -> bool | None:
    """Whether these layers take rows, by the first that tells."""
    for name in names:
        if name in _RESHAPING:
            return None
        if name in layers.ON_MAPS or name in layers.ON_ROWS:
            return name in layers.ON_ROWS
    return None


def _index(walk: Walk, call: cst.Call | None) -> int:
    return next(i for i, (each, *_) in enumerate(walk.places) if each is call)


def short(call: cst.Call) -> str:
    return " ".join(code(call).split()).removeprefix(prefix(call))
