"""What a compression profile costs, as an objective: bytes, bits, weights or latency.

Knows the additive costs of `evolve.genomes.compression.budget`, no weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from evolve.genomes.compression.budget import Cost
from evolve.genomes.compression.profile import CompressionProfile
from evolve.score import Needs, Objective, Score


@dataclass(frozen=True)
class ProfileCost:
    """One minimised objective, named and measured as `cost`; free to evaluate."""

    cost: Cost
    rungs: tuple[int, ...] = (1,)
    needs: Needs = field(default_factory=Needs)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return (Objective(self.cost.name, unit=self.cost.unit),)

    def evaluate(self, genomes: Sequence[CompressionProfile], rung: int, seed: int) -> list[Score]:
        """One score a genome, whatever the rung and the seed."""
        return [self._of(genome) for genome in genomes]

    def _of(self, genome: object) -> Score:
        if not isinstance(genome, CompressionProfile):
            kind = type(genome).__name__
            return Score.failed(f"invalid: ProfileCost scores compression profiles, not {kind}.")
        return Score((float(self.cost.of(genome)),))
