"""Merges of one base and its experts: a space of recipes, and the recipe that evolves.

Knows layouts and parameters, not arithmetic: `evolve.genomes.realise` turns a recipe into
tensors. Method by method, the agreement with mergekit is stated there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self, TypeAlias

import numpy as np

from evolve.errors import CheckpointError, GenomeError
from evolve.genome import WHERE, Json, Packed, canonical
from evolve.genomes import preflight
from evolve.genomes.checkpoint import DTYPES, Source, local
from evolve.genomes.layout import Cell, Layout
from evolve.genomes.lora import merge_adapter, source_of
from evolve.genomes.methods import GRID, Each, Method, Parameter, parameters_of
from evolve.genomes.vector import Box

if TYPE_CHECKING:
    import torch

Settings: TypeAlias = Mapping[str, float | tuple[float, ...]]


class Gene(NamedTuple):
    """Where one number of a recipe acts. `model` counts expert (or input) 0, 1, ...; 0 for t."""

    cell: Cell
    parameter: Parameter
    model: int


@dataclass(frozen=True)
class MergeSpace:
    """Everything that recipes of one search share. Build it with `MergeSpace.of`."""

    base: Source
    experts: tuple[Source, ...]
    method: Method
    parameters: tuple[Parameter, ...]
    layers_per_group: int
    per_kind: bool
    dtype: str  # of the merged tensors, torch's word: "bfloat16"
    seed: int  # of the random masks (DARE, DELLA)

    @classmethod
    def of(
        cls,
        base: str | Path,
        experts: Sequence[str | Path],
        *,
        method: Method = Method.LINEAR,
        layers_per_group: int = 1,
        per_kind: bool = True,
        bounds: Mapping[str, tuple[float, float]] | None = None,
        fixed: Mapping[str, float] | None = None,
        dtype: str | None = None,
        seed: int = 0,
    ) -> Self:
        """The space of merges of `base` and `experts`, after the pre-flight.

        Directories or hub ids; experts may be PEFT LoRA directories. `bounds` replaces a
        parameter's interval, `fixed` takes its genes away. `dtype` None: the base's storage
        dtype. Headers and configs are read before any weight. Raises `CheckpointError` for
        models that cannot be merged, `GenomeError` for settings that the method lacks.
        """
        if layers_per_group < 1:
            raise GenomeError(f"layers_per_group is {layers_per_group}; give 1 or more.")
        parameters = parameters_of(method, bounds or {}, fixed or {})
        folders = [local(path) for path in experts]
        preflight.check(local(base), folders, method)
        root = Source.of(base)
        sources = [Source.of(folder, root) for folder in folders]
        preflight.check_disk(root, sources, method)
        for source in sources:
            if source.adapter:
                preflight.check(root.path, [merge_adapter(source, root)], None)
        stored = preflight.storage_dtype(root.entries)
        if (dtype or stored) not in DTYPES.values():
            raise GenomeError(f"dtype is {dtype!r}; give one of {', '.join(DTYPES.values())}.")
        return cls(
            root,
            tuple(sources),
            method,
            parameters,
            layers_per_group,
            per_kind,
            dtype or stored,
            seed,
        )

    @cached_property
    def layout(self) -> Layout:
        """The cells, from the base's tensor names."""
        return Layout.of(
            preflight.floating_names([self.base, *self.experts]),
            self.layers_per_group,
            self.per_kind,
        )

    @cached_property
    def facts(self) -> Mapping[str, Json]:
        """The space as JSON: what a packed recipe carries."""
        return {
            WHERE: [str(source.path) for source in (self.base, *self.experts)],
            "base": self.base.digest,
            "experts": [expert.digest for expert in self.experts],
            "method": self.method.value,
            "parameters": [asdict(parameter) for parameter in self.parameters],
            "layers_per_group": self.layers_per_group,
            "per_kind": self.per_kind,
            "dtype": self.dtype,
            "seed": self.seed,
        }

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        """What each of the d numbers of a recipe means: by cell, then parameter, then model."""
        return tuple(
            Gene(cell, parameter, model)
            for cell in self.layout.cells
            for parameter in self.parameters
            if parameter.fixed is None
            for model in range(self.width(parameter))
        )

    @cached_property
    def box(self) -> Box:
        """Bounds of the genes; `depth` is the layer group."""
        return Box(
            np.array([gene.parameter.low for gene in self.genes], dtype=np.float64),
            np.array([gene.parameter.high for gene in self.genes], dtype=np.float64),
            np.array([gene.cell.group for gene in self.genes], dtype=np.int64),
        )

    @property
    def n_inputs(self) -> int:
        """Base and experts."""
        return 1 + len(self.experts)

    def width(self, parameter: Parameter) -> int:
        """How many values `parameter` has in a cell."""
        widths = {Each.INPUT: self.n_inputs, Each.EXPERT: len(self.experts), Each.CELL: 1}
        return widths[parameter.each]

    def recipe(self, values: np.ndarray) -> MergeRecipe:
        """The recipe nearest to `values` (d,): clipped, densities on their grid.

        LINEAR divides by a cell's total weight; a cell without weight takes the base alone.
        """
        if np.shape(values) != self.box.low.shape:
            raise GenomeError(
                f"{np.shape(values)} values for {self.box.size} genes; give one number a gene."
            )
        settled = self.box.clip(values)
        settled[self._on_grid] = np.round(settled[self._on_grid] * GRID) / GRID
        settled = self.box.clip(settled) + 0.0  # turns -0.0, which would have its own digest
        if self.method is Method.LINEAR and settled.size:
            weights = settled.reshape(-1, self.n_inputs)
            weights[weights.sum(axis=1) < 1e-6, 0] = 1.0
        return MergeRecipe(self, settled)

    def uniform(
        self,
        *,
        weight: float | Sequence[float] | None = None,
        density: float | None = None,
        gamma: float | None = None,
        scale: float | None = None,
        t: float | None = None,
        epsilon: float | None = None,
        select: float | None = None,
    ) -> MergeRecipe:
        """One static setting everywhere; what is None or not of the method stays neutral.

        `weight`: one number for every expert, or one an expert; in LINEAR the base gets what is
        missing to 1, so that there and in task arithmetic it is the task vectors' scale.
        `scale` is mergekit's `lambda`, `select` its `select_topk`. Values are clipped to the
        bounds. Raises `GenomeError` if there is not one weight an expert.
        """
        return self.recipe(
            self._raw(
                weight,
                {
                    "density": density,
                    "gamma": gamma,
                    "lambda": scale,
                    "t": t,
                    "epsilon": epsilon,
                    "select_topk": select,
                },
            )
        )

    def base_recipe(self) -> MergeRecipe:
        """The base itself. Raises `GenomeError` where the method cannot represent it."""
        if self.method in (Method.SLERP, Method.NUSLERP, Method.MODEL_STOCK, Method.KARCHER):
            raise GenomeError(f"{self.method.value} cannot represent the base; leave it out.")
        return self._exactly("the base", (0.0,) * len(self.experts), {"select_topk": 0.0})

    def expert_recipe(self, i: int) -> MergeRecipe:
        """Expert `i`, to float32 rounding. Raises `GenomeError` where not representable."""
        if self.method in (Method.SCE, Method.MODEL_STOCK, Method.KARCHER):
            raise GenomeError(f"{self.method.value} cannot represent an expert; leave it out.")
        weights = tuple(float(j == i) for j in range(len(self.experts)))
        whole = {"density": 1.0, "lambda": 1.0, "t": float(i)}
        return self._exactly(f"expert {i}", weights, whole)

    def soup(self) -> MergeRecipe:
        """The experts' plain mean, to float32 rounding. Raises `GenomeError` as above."""
        if self.method.elects or not self.method.ours:
            raise GenomeError(f"{self.method.value} cannot represent the soup; leave it out.")
        n = len(self.experts)
        return self._exactly("the soup", (1 / n,) * n, {"density": 1.0, "lambda": 1.0})

    def founders(self) -> tuple[MergeRecipe, ...]:
        """Base, each expert, uniform soup: those that the method represents.

        All of them: linear, task_arithmetic, dare_linear, breadcrumbs (at density 1). Without
        the soup: ties, dare_ties, della (signs are elected). The two experts alone: slerp,
        nuslerp. The base alone: sce. The method's neutral setting stands in for the soup, and
        is all there is of model_stock and karcher. `fixed` and `bounds` may exclude more.
        """
        makers = [self.base_recipe, self.soup]
        makers[1:1] = [partial(self.expert_recipe, i) for i in range(len(self.experts))]
        made = []
        for make in makers:
            with suppress(GenomeError):
                made.append(make())
        if self.method.elects or not self.method.ours:
            made.append(self.uniform())
        return tuple(made)

    def _raw(
        self, weight: float | Sequence[float] | None, given: Mapping[str, float | None]
    ) -> np.ndarray:
        """(d,) float64 before clipping: `weight` an expert, `given` else, neutral where None."""
        n = len(self.experts)
        weights = (float(weight),) * n if isinstance(weight, int | float) else weight
        if weights is not None and len(weights) != n:
            raise GenomeError(f"{len(weights)} weights for {n} experts; give one an expert.")
        if self.method is Method.LINEAR and weights is not None:
            rest = 1 - math.fsum(weights)
            weights = (rest if rest > 1e-9 else 0.0, *weights)
        values = []
        for _, parameter, model in self.genes:
            if parameter.name == "weight":
                values.append(weights[model] if weights else 1 / self.width(parameter))
            else:
                chosen = given.get(parameter.name)
                values.append(chosen if chosen is not None else parameter.neutral or 0.0)
        return np.array(values, dtype=np.float64)

    def _exactly(
        self, what: str, weights: tuple[float, ...], given: Mapping[str, float]
    ) -> MergeRecipe:
        """The uniform recipe of these values; `GenomeError` if bounds or fixed values differ."""
        raw = self._raw(weights, given)
        recipe = self.recipe(raw)
        held = {p.name: p.fixed for p in self.parameters if p.fixed is not None}
        off = any(held.get(name, value) != value for name, value in given.items())
        off |= "weight" in held and any(held["weight"] != weight for weight in weights)
        if off or not np.allclose(raw, recipe.values, rtol=0, atol=1e-12):
            raise GenomeError(
                f"The bounds or fixed values of this space exclude {what}; widen them, or leave "
                "it out."
            )
        return recipe

    @cached_property
    def _on_grid(self) -> np.ndarray:
        return np.array([gene.parameter.grid for gene in self.genes], dtype=bool)


@dataclass(frozen=True, eq=False)
class MergeRecipe:
    """One candidate: a value for every gene of its space. `VectorLike`.

    Build it with `MergeSpace.recipe`, a founder, or `at`; the constructor takes only values
    that are already inside the box and on the grid. Raises `GenomeError`.
    """

    space: MergeSpace
    values: np.ndarray  # (d,) float64

    def __post_init__(self) -> None:
        if self.values.shape != self.box.low.shape or not np.isfinite(self.values).all():
            raise GenomeError(
                f"MergeRecipe needs {self.box.size} finite values, got an array of shape "
                f"{self.values.shape}; use MergeSpace.recipe."
            )
        steps = self.values[self.space._on_grid] * GRID
        inside = (self.values >= self.box.low) & (self.values <= self.box.high)
        if not inside.all() or (steps != np.round(steps)).any():
            raise GenomeError(
                "MergeRecipe has values outside its bounds or off the 1/256 grid; use "
                "MergeSpace.recipe, which moves them to the nearest allowed point."
            )

    @property
    def box(self) -> Box:
        """The space's box."""
        return self.space.box

    def at(self, values: np.ndarray) -> Self:
        """The recipe of the same space nearest to `values` (d,)."""
        return type(self)(self.space, self.space.recipe(values).values)

    def cells(self) -> dict[Cell, Settings]:
        """Every merge parameter in every cell, fixed ones too, by mergekit's names.

        A tuple has one value an input (weight in linear: base first) or one an expert; a float
        is for all. slerp: `t` towards expert 1; nuslerp: its `weight` pair is (1 - t, t).
        `epsilon` is lowered where density +- epsilon would leave (0, 1), which mergekit refuses.
        """
        found: dict[Cell, dict[str, float | tuple[float, ...]]] = {}
        genes = iter(self.values.tolist())
        for cell in self.space.layout.cells:
            settings: dict[str, float | tuple[float, ...]] = {}
            for p in self.space.parameters:
                n = self.space.width(p)
                many = tuple(next(genes) if p.fixed is None else p.fixed for _ in range(n))
                settings[p.name] = many[0] if p.each is Each.CELL else many
            found[cell] = _as_mergekit(self.space.method, settings)
        return dict(found)

    def parameters(self) -> dict[str, Settings]:
        """`cells()` by tensor name."""
        return {name: given for cell, given in self.cells().items() for name in cell.tensors}

    def pack(self) -> Packed:
        """Facts: paths, digests, method, layout. Arrays: `values`."""
        return Packed(self.space.facts, {"values": self.values})

    @classmethod
    def unpack(cls, packed: Packed) -> Self:
        """The recipe packed; its checkpoints must be where they were, unchanged."""
        return cls(_space(canonical(packed.facts)), packed.arrays["values"])

    def express(self) -> dict[str, torch.Tensor]:
        """The merged state dict, by the base's tensor names, in the space's dtype, on the CPU.

        float32 arithmetic whatever the storage. Equal bits at every call. Tensors that no
        expert changed are memory-mapped, private to this call. The first call, of any recipe,
        builds all that every recipe of the space reads from disk: do it before hiring workers.
        """
        from evolve.genomes.realise import realise

        return realise(self)


def _as_mergekit(method: Method, settings: Settings) -> dict[str, float | tuple[float, ...]]:
    changed = dict(settings)
    t, density, epsilon = (settings.get(name) for name in ("t", "density", "epsilon"))
    if method is Method.NUSLERP and isinstance(t, float):
        del changed["t"]
        changed["weight"] = (1 - t, t)
    if isinstance(density, tuple) and isinstance(epsilon, tuple):
        changed["epsilon"] = tuple(min(e, 0.999 * min(d, 1 - d)) for d, e in zip(density, epsilon))
    return changed


@lru_cache(maxsize=64)
def _space(facts: str) -> MergeSpace:
    """The space that `facts` (canonical JSON) describe, rebuilt once a process."""
    told = json.loads(facts)
    base = _found(told[WHERE][0], told["base"], None)
    return MergeSpace(
        base,
        tuple(_found(w, name, base) for w, name in zip(told[WHERE][1:], told["experts"])),
        Method(told["method"]),
        tuple(Parameter(**{**p, "each": Each(p["each"])}) for p in told["parameters"]),
        told["layers_per_group"],
        told["per_kind"],
        told["dtype"],
        told["seed"],
    )


def _found(path: str, digest: str, base: Source | None) -> Source:
    source = source_of(Path(path), base)
    if source.digest != digest:
        raise CheckpointError(
            f"{source.path} has digest {source.digest[:12]}, the genome was made with "
            f"{digest[:12]}: the checkpoint changed. Put the old one back."
        )
    return source
