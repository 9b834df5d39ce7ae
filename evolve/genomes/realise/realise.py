"""From a recipe to its state dict: which terms each stretch of the model is summed from.

Knows recipes, caches and the arithmetic; what each method agrees with is in the package's text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import torch

from evolve.genomes.layout import Cell, Layout, by_tensor
from evolve.genomes.methods import GRID, Method
from evolve.genomes.preflight import shared_names
from evolve.genomes.realise.arithmetic import Scratch, Term, merge_
from evolve.genomes.realise.cache import Flat, flat_of
from evolve.genomes.realise.levels import Levels, kept_at, levels_of

if TYPE_CHECKING:
    from evolve.genomes.merge import MergeRecipe, MergeSpace, Settings

TORCH = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
_BY_TENSOR = (Method.DARE_TIES, Method.DARE_LINEAR, Method.BREADCRUMBS)  # norms, counts


class _Run(NamedTuple):
    """Neighbouring tensors of one cell that the same experts changed."""

    cell: Cell
    start: int
    stop: int
    movers: tuple[int, ...]
    span: int  # the first of its tensors


def prepare(space: MergeSpace) -> None:
    """Builds what `realise` reads: deltas and levels on disk. Does nothing where it is built."""
    if space.method.ours:
        _ready(space)


def realise(recipe: MergeRecipe) -> dict[str, torch.Tensor]:
    """The merged state dict of `recipe`, by the base's tensor names, in its space's dtype."""
    space = recipe.space
    if not space.method.ours:
        from evolve.genomes.realise.peer import realise_by_mergekit

        return realise_by_mergekit(recipe)
    flat, levels = _ready(space)
    out = torch.empty(len(flat.base), dtype=TORCH[space.dtype])
    scratch = Scratch(len(space.experts))
    settings = recipe.cells()
    with torch.no_grad():
        for run in _runs(flat, space):
            given = settings[run.cell]
            terms = list(_terms(space.method, given, flat, levels, run))
            merge_(
                out,
                flat.base,
                terms,
                run.start,
                run.stop,
                scratch,
                elect=space.method.elects,
                normalize=space.method is Method.TIES,
                scale=_one(given, "lambda", 1.0),
            )
    merged = {span.name: out[span.start : span.stop] for span in flat.spans}
    return complete(space, merged)


def complete(space: MergeSpace, merged: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """All tensors in the base's order: `merged` ones in shape, the rest from the base's file.

    Those that are stored in the out dtype, or are integers, are fresh private mappings.
    """
    shared = shared_names((space.base, *space.experts))
    kept = dict(space.base.tensors(name for name in shared if name not in merged))
    whole = {}
    for name, entry in space.base.entries.items():
        if name in merged:
            whole[name] = merged[name].view(entry.shape)
        elif name in kept:
            floats = kept[name].is_floating_point()
            whole[name] = kept[name].to(TORCH[space.dtype]) if floats else kept[name]
    return whole


@lru_cache(maxsize=8)
def in_model_order(space: MergeSpace) -> tuple[str, ...]:
    """Names of the tensors to merge, layer by layer: one order whatever the space's grouping."""
    return Layout.of(space.layout.tensors, layers_per_group=1, per_kind=True).tensors


def _ready(space: MergeSpace) -> tuple[Flat, Levels | None]:
    flat = flat_of(space.base, space.experts, in_model_order(space))
    if space.method in (Method.LINEAR, Method.TASK_ARITHMETIC):
        return flat, None
    digests = tuple(expert.digest for expert in space.experts)
    return flat, levels_of(flat, space.method, space.seed, digests)


def _runs(flat: Flat, space: MergeSpace) -> Iterator[_Run]:
    """Stretches of equal terms; every tensor alone where a term depends on the whole tensor."""
    cells = by_tensor(space.layout.cells)
    run: _Run | None = None
    for i, span in enumerate(flat.spans):
        movers = tuple(j for j, names in enumerate(flat.moved) if span.name in names)
        cell = cells[span.name]
        if run and run.cell is cell and run.movers == movers and space.method not in _BY_TENSOR:
            run = run._replace(stop=span.stop)
            continue
        if run:
            yield run
        run = _Run(cell, span.start, span.stop, movers, i)
    if run:
        yield run


def _terms(
    method: Method, given: Settings, flat: Flat, levels: Levels | None, run: _Run
) -> Iterator[Term]:
    """What each expert adds to `run`; experts that add nothing are left out."""
    n = len(flat.deltas)
    if method is Method.LINEAR:
        _, *rest = shares = _many(given, "weight", n + 1)
        weights = tuple(weight / sum(shares) for weight in rest)
    else:
        weights = _many(given, "weight", n)
    for i in run.movers:
        delta, weight = flat.deltas[i], weights[i]
        if weight == 0:
            continue
        if levels is None:
            yield Term(delta, weight)
            continue
        g = round(_many(given, "density", n)[i] * GRID)
        if g == 0:
            continue
        if g == GRID:
            yield Term(delta, weight)
        elif method is Method.BREADCRUMBS:
            gamma = round(_many(given, "gamma", n)[i] * GRID)
            yield _between(Term(delta, weight, levels.bytes[i]), levels.edges[i], g, gamma, run)
        elif method is Method.TIES:
            yield Term(delta, weight, levels.bytes[i], below=g)
        else:
            norms = levels.norms[i][run.span]
            before, after = float(norms[GRID]), float(norms[g])
            if before >= 1e-7 and after >= 1e-7:  # mergekit's threshold
                weight *= before / after  # the L1 norm that dropping took, mergekit's `rescale`
            yield Term(delta, weight, levels.bytes[i], below=g)


def _between(term: Term, edges: torch.Tensor, g: int, gamma: int, run: _Run) -> Term:
    """Breadcrumbs' choice: without the `gamma`/256 largest, then the g/256 next.

    With k(x) = floor(x n / 256) mergekit keeps the ranks k(gamma) .. k(gamma) + k(g) - 1, or
    the k(g) smallest if there are no more. Levels say so but for one element at the end, as
    k(gamma) + k(g) can be k(gamma + g) - 1.
    """
    n = run.stop - run.start
    first, last = kept_at(gamma, n), kept_at(gamma, n) + kept_at(g, n)
    if last <= n:
        below = min(gamma + g, GRID)
        drop = () if kept_at(below, n) == last else (int(edges[run.span, 0, below]),)
        return replace(term, above=gamma, below=below, drop=drop)
    first = n - kept_at(g, n)
    above = GRID - g
    drop = () if kept_at(above, n) == first else (int(edges[run.span, 1, above]),)
    return replace(term, above=above, drop=drop)


def _many(given: Settings, name: str, n: int) -> tuple[float, ...]:
    values = given[name]
    assert isinstance(values, tuple)
    assert len(values) == n
    return values


def _one(given: Settings, name: str, otherwise: float) -> float:
    value = given.get(name, otherwise)
    assert isinstance(value, float)
    return value
