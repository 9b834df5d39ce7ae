"""Fitnesses with and without manners for `test_in_place`; importable by Ray workers."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evolve import Experiment, Genetic, Needs, Objective, Ordered, Score, Steady
from evolve.genome import Genome
from evolve.genomes.merge import MergeRecipe, MergeSpace
from evolve.genomes.vector import Vector
from evolve.score import Fitness
from fitness.function import Function, minimise
from operators.selection import NSGA3, Tournament, das_dennis
from operators.vector import Centroid, GaussianMutation, Then

AB = (Objective("a"), Objective("b"))


@dataclass(frozen=True)
class InCache:
    """`fitness`, in a process whose derived data lies in `cache`, from its unpickling on."""

    cache: str
    fitness: Fitness[Any]

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return self.fitness.objectives

    @property
    def rungs(self) -> tuple[int, ...]:
        return self.fitness.rungs

    @property
    def needs(self) -> Needs | tuple[Needs, ...]:
        return self.fitness.needs

    def evaluate(self, genomes: Sequence[Genome], rung: int, seed: int) -> list[Score]:
        return self.fitness.evaluate(genomes, rung, seed)

    def __reduce__(self) -> tuple[object, ...]:
        return _in_cache, (self.cache, self.fitness)


def _in_cache(cache: str, fitness: Fitness[Any]) -> InCache:
    os.environ["EVOLVE_CACHE"] = cache
    return InCache(cache, fitness)


def numbers(tensors: dict[str, torch.Tensor]) -> tuple[float, float]:
    """Two sums that every element moves."""
    flat = torch.cat([tensor.flatten().double() for tensor in tensors.values()])
    places = torch.arange(len(flat), dtype=torch.float64) % 7 - 3
    return float((flat * places).sum()), float(flat.square().sum())


@dataclass(frozen=True)
class OnState:
    """Scores what a genome expresses, doubled; the rude one doubles in place, then zeroes."""

    rude: bool
    objectives: tuple[Objective, ...] = AB
    rungs: tuple[int, ...] = (1,)
    needs: Needs = field(default_factory=Needs)

    def evaluate(self, genomes: Sequence[MergeRecipe], rung: int, seed: int) -> list[Score]:
        return [self._score(genome) for genome in genomes]

    def _score(self, genome: MergeRecipe) -> Score:
        state = genome.express()
        if not self.rude:
            return Score(numbers({name: tensor * 2 for name, tensor in state.items()}))
        for tensor in state.values():
            tensor.mul_(2)
        score = Score(numbers(state))
        for tensor in state.values():
            tensor.zero_()
            tensor.data.view(torch.int16).numpy()[...] = -1  # past torch's own books
        genome.values[:] = 0
        state.clear()
        return score


def logits_of(model: Any) -> dict[str, torch.Tensor]:
    tokens = torch.arange(24).reshape(2, 12) % 50
    return {"logits": model(input_ids=tokens, use_cache=False).logits}


def polite(model: Any) -> dict[str, float]:
    """The model with doubled norms, in a copy."""
    own = copy.deepcopy(model)
    double_(own)
    return dict(zip("ab", numbers(logits_of(own))))


def rude(model: Any) -> dict[str, float]:
    """The same in the model itself, which is wrecked afterwards."""
    double_(model)
    score = dict(zip("ab", numbers(logits_of(model))))
    for tensor in [*model.parameters(), *model.buffers()]:
        tensor.zero_()
    model.model.rotary_emb.attention_scaling = 0.0
    model.model.layers[0].register_forward_hook(lambda *given: 1 / 0)
    model.lm_head = torch.nn.Identity()
    model.config.hidden_act = "none"
    model.requires_grad_(True).train().half()
    return score


def double_(model: Any) -> None:
    for name, tensor in model.named_parameters():
        if "norm" in name:
            tensor.mul_(2)


def on_model(architecture: Path, *, is_rude: bool) -> Function:
    """The function-style fitness on a live model of `architecture`."""
    return Function(rude if is_rude else polite, (minimise("a"), minimise("b")), (), architecture)


@dataclass(frozen=True)
class Hoarder:
    """Returns arrays and dicts of its own, and writes over them at the next candidate."""

    buffer: np.ndarray = field(default_factory=lambda: np.zeros(2, np.float32))
    metrics: dict[str, float] = field(default_factory=dict)
    objectives: tuple[Objective, ...] = AB
    rungs: tuple[int, ...] = (1,)
    needs: Needs = field(default_factory=Needs)

    def evaluate(self, genomes: Sequence[Vector], rung: int, seed: int) -> list[Score]:
        return [self._score(genome) for genome in genomes]

    def _score(self, genome: Vector) -> Score:
        own = self.buffer
        own[:] = genome.values[:2]
        self.metrics["first"] = float(genome.values[0])
        values = float(own[0]), float(own[1])
        return Score(values, metrics=self.metrics, samples=(own, own), heritage={"own": own})


def experiment(space: MergeSpace, fitness: Fitness[Any], cache: Path) -> Experiment[MergeRecipe]:
    """24 births of merges, four in flight."""

    def search() -> Genetic[MergeRecipe]:
        return Genetic(
            founders=space.founders(),
            operators=[Then(Centroid(), GaussianMutation(sigma=0.1))],
            selection=NSGA3(das_dennis(n_objectives=2, divisions=4)),
            mating=Tournament(),
            objectives=AB,
            size=8,
            pace=Steady(window=4),
        )

    return Experiment("in place", search, InCache(str(cache), fitness), 24, order=Ordered())
