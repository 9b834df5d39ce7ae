"""What a model costs to keep: parameters and bytes of its state dict. Knows no architecture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from evolve.errors import FitnessError
from evolve.genome import Genome
from evolve.score import Needs, Objective, Score
from fitness.expressed import attempt

if TYPE_CHECKING:
    import torch

PARAMETERS = Objective("parameters")
BYTES = Objective("bytes", unit="B")


@dataclass(frozen=True)
class Size:
    """Parameters (numbers of any dtype) and bytes as stored; tied tensors count once.

    `objectives` says which of `PARAMETERS` and `BYTES` are objectives; both are metrics.
    """

    objectives: tuple[Objective, ...] = (PARAMETERS, BYTES)
    rungs: tuple[int, ...] = (1,)
    needs: Needs = field(default_factory=Needs)

    def __post_init__(self) -> None:
        if not self.objectives or set(self.objectives) - {PARAMETERS, BYTES}:
            raise FitnessError(
                f"Size.objectives is {self.objectives}; choose from PARAMETERS and BYTES."
            )

    def evaluate(self, genomes: Sequence[Genome], rung: int, seed: int) -> list[Score]:
        """One score a genome, whatever the rung and the seed."""
        return [attempt(partial(self._of, genome), self.objectives) for genome in genomes]

    def _of(self, genome: Genome) -> Score:
        return self.score_expressed(genome.express(), 0, 0)

    def score_expressed(self, expressed: object, rung: int, seed: int) -> Score:
        """Counts `expressed`, a state dict. Raises `FitnessError` if it is none."""
        if not isinstance(expressed, Mapping):
            raise FitnessError(
                f"the genome expresses {type(expressed).__name__}, Size counts state dicts"
            )
        tensors = list(_stored(expressed.values()))
        counts = {
            PARAMETERS: float(sum(tensor.numel() for tensor in tensors)),
            BYTES: float(sum(tensor.numel() * tensor.element_size() for tensor in tensors)),
        }
        return Score(
            tuple(counts[objective] for objective in self.objectives),
            metrics={objective.name: count for objective, count in counts.items()},
        )


def _stored(tensors: Iterable[torch.Tensor]) -> Iterable[torch.Tensor]:
    """`tensors` less those that share all their memory with an earlier one, as on disk."""
    seen = set()
    for tensor in tensors:
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if key not in seen:
            seen.add(key)
            yield tensor
