"""The shape of the learning rate over the training: constant, linear, cosine, steps, warm-up.

A schedule is a function whose name says so (`rate`, `schedule`, `decay`) of the progress from 0
to 1, or of a step and the number of steps; it returns a share of the optimiser's own rate.
Warm-up and cosine: Loshchilov & Hutter 2017, "SGDR"; Goyal et al. 2017.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
import numpy as np

from operators.code.mutator import Edit, Mutator, Site, edit
from operators.code.tree import code, expression
from operators.code.view import View

_NAMES = re.compile(r"rate|schedul|decay|warm|^lr|_lr")
_STEPS = {"step", "epoch", "iteration", "i", "t", "n"}
_TOTALS = {"steps", "epochs", "iterations", "total", "total_steps", "n_steps", "n_epochs"}

_SHAPES = {
    "constant": "1.0",
    "linear": "max(0.02, 1.0 - {p})",
    "square root": "max(0.02, 1.0 - {p}) ** 0.5",
    "exponential": "0.05**{p}",
    "steps": "1.0 if {p} < 0.6 else 0.1",
    "smooth": "max(0.02, 1.0 - {p} * {p} * (3.0 - 2.0 * {p}))",
}
_COSINE = "max(0.02, 0.5 + 0.5 * {math}.cos({math}.pi * {p}))"
_FACTORS = {
    "warm-up": "min(1.0, 0.1 + {p} / 0.1) * ({old})",
    "cool-down": "min(1.0, 0.05 + 5.0 * (1.0 - {p})) * ({old})",
    "a scale": "{scale} * ({old})",
}


def schedules() -> Mutator:
    """Another shape, or the one at hand with a warm-up, a cool-down or a scale."""
    return Mutator("schedule", _sites)


def _sites(view: View) -> Iterator[Site]:
    for node in view.nodes:
        if isinstance(node, cst.FunctionDef) and _NAMES.search(node.name.value):
            progress = _progress([param.name.value for param in node.params.params])
            last = node.body.body[-1]
            if progress and isinstance(last, cst.SimpleStatementLine):
                line = last.body[-1]
                if isinstance(line, cst.Return) and line.value is not None:
                    yield _shape(line.value, progress, view)
                    yield _factor(line.value, progress)


def _progress(params: list[str]) -> str:
    """How far the training is, from the parameters' names; nothing if they do not tell."""
    if len(params) == 1 and params[0] not in _STEPS:
        return params[0]
    if len(params) == 2 and params[0] in _STEPS and params[1] in _TOTALS:
        return f"({params[0]} / max(1, {params[1]}))"
    return ""


def _shape(old: cst.BaseExpression, progress: str, view: View) -> Site:
    def site(rng: np.random.Generator) -> Edit:
        shapes = dict(_SHAPES)
        if "math" in view.around.modules:
            shapes["cosine"] = _COSINE
        name = list(shapes)[rng.integers(len(shapes))]
        new = shapes[name].format(p=progress, math=view.around.modules.get("math", ""))
        return _changed(old, new, name)

    return site


def _factor(old: cst.BaseExpression, progress: str) -> Site:
    def site(rng: np.random.Generator) -> Edit:
        name = list(_FACTORS)[rng.integers(len(_FACTORS))]
        scale = (0.3, 0.5, 2.0, 3.0)[rng.integers(4)]
        return _changed(old, _FACTORS[name].format(p=progress, old=code(old), scale=scale), name)

    return site


def _changed(old: cst.BaseExpression, new: str, name: str) -> Edit:
    return edit(old, expression(new), f"schedule: {name}: {code(old)} -> {new}")
