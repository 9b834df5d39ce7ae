"""Another optimiser, or another setting of the one at hand. Knows no network.

Rates are carried over by the ratio of what is usual for each: a rate of SGD with momentum is an
order of magnitude above one of Adam.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import libcst as cst
import numpy as np

from evolve.errors import Infertile
from operators.code.flow import short
from operators.code.mutator import Edit, Mutator, Site, edit
from operators.code.tree import argument, call, code, kind, number, with_argument
from operators.code.view import View

_USUAL: Mapping[str, float] = {  # rates
    "SGD": 0.05,
    "Adam": 0.003,
    "AdamW": 0.003,
    "NAdam": 0.003,
    "RMSprop": 0.001,
}
_OWN: Mapping[str, tuple[str, ...]] = {  # settings beside rate and weight decay
    "SGD": ("momentum", "nesterov"),
    "RMSprop": ("momentum", "alpha"),
    "Adam": ("betas", "eps"),
    "AdamW": ("betas", "eps"),
    "NAdam": ("betas", "eps"),
}
_ORDER = ("params", "lr")
T = TypeVar("T", float, str)

_MOMENTA = (0.0, 0.5, 0.8, 0.9, 0.95)
_BETAS = ("(0.8, 0.99)", "(0.9, 0.99)", "(0.9, 0.999)", "(0.95, 0.999)")
_DECAYS = (0.0, 1e-5, 1e-4, 1e-3, 1e-2)


def optimisers() -> Mutator:
    """The kind, rate, momentum or weight decay of a `torch.optim` optimiser."""
    return Mutator("optimiser", _sites)


def _sites(view: View) -> Iterator[Site]:
    for node in view.nodes:
        if isinstance(node, cst.Call) and kind(node) in _USUAL and node.args:
            for change in (_kind, _rate, _momentum, _decay):
                yield _site(node, view, change)


Change = Callable[[cst.Call, View, np.random.Generator], cst.Call]


def _site(node: cst.Call, view: View, change: Change) -> Site:
    def site(rng: np.random.Generator) -> Edit:
        new = change(node, view, rng)
        return edit(node, new, f"{short(node)} -> {short(new)}")

    return site


def _kind(node: cst.Call, view: View, rng: np.random.Generator) -> cst.Call:
    old = kind(node)
    names = [name for name in _USUAL if name != old]
    name = names[rng.integers(len(names))]
    scale = _USUAL[name] / _USUAL[old] * _one_of((0.5, 1.0, 2.0), rng)
    rate = argument(node, "lr", _ORDER)
    given = [code(node.args[0]).rstrip(", \n")]
    given.append(f"lr={_scaled(rate, scale, _USUAL[name] * _one_of((0.5, 1.0, 2.0), rng), view)}")
    for setting in (*_OWN[name], "weight_decay"):
        value = argument(node, setting, _ORDER)
        if value is not None:
            given.append(f"{setting}={code(value)}")
    front = code(node.func).removesuffix(old)
    return call(f"{front}{name}({', '.join(given)})")


def _rate(node: cst.Call, view: View, rng: np.random.Generator) -> cst.Call:
    old = argument(node, "lr", _ORDER)
    scale = _one_of((1 / 3, 1 / 2, 2.0, 3.0), rng)
    text = _scaled(old, scale, _USUAL[kind(node)] * scale, view)
    return with_argument(node, "lr", _ORDER, text)


def _momentum(node: cst.Call, view: View, rng: np.random.Generator) -> cst.Call:
    own = _OWN[kind(node)]
    if "betas" in own:
        old = argument(node, "betas", _ORDER)
        text = "(0.9, 0.999)" if old is None else code(old)
        return with_argument(node, "betas", _ORDER, _other(text, _BETAS, rng))
    now = number(argument(node, "momentum", _ORDER), view.constants) or 0.0
    on = argument(node, "nesterov", _ORDER) is not None
    if kind(node) == "SGD" and now > 0 and rng.random() < 1 / len(_MOMENTA):
        return with_argument(node, "nesterov", _ORDER, None if on else "True")
    new = _other(float(now), _MOMENTA, rng)
    if new == 0.0 and on:
        node = with_argument(node, "nesterov", _ORDER, None)
    return with_argument(node, "momentum", _ORDER, new)


def _decay(node: cst.Call, view: View, rng: np.random.Generator) -> cst.Call:
    now = argument(node, "weight_decay", _ORDER)
    old = 0.0 if now is None else number(now, view.constants)
    if old is None:
        raise Infertile("the weight decay is no number.")
    return with_argument(node, "weight_decay", _ORDER, _other(float(old), _DECAYS, rng))


def _scaled(
    node: cst.BaseExpression | None, scale: float, usual: float, view: View
) -> str | float:
    if node is None:
        return _neat(usual)
    value = number(node, {})
    return f"{_neat(scale)} * ({code(node)})" if value is None else _neat(value * scale)


def _neat(value: float) -> float:
    return float(f"{value:.2g}")


def _one_of(values: tuple[float, ...], rng: np.random.Generator) -> float:
    return values[rng.integers(len(values))]


def _other(old: T, values: tuple[T, ...], rng: np.random.Generator) -> T:
    left = [value for value in values if value != old]
    return left[rng.integers(len(left))]
