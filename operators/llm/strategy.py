"""EvoLLM: a language model as the update rule of an evolution strategy (Lange et al. 2024).

"Large Language Models As Evolution Strategies". Members of a population, as integers over the
box, are listed worst to best with their costs, as integers too; the model is asked for the mean
of the next. Knows vector-like genomes, not what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, TypeVar

import numpy as np

from evolve.chat import Chat
from evolve.errors import ExperimentError, GenomeError
from evolve.genomes.program.answer import spoken
from evolve.genomes.vector import Box, VectorLike
from evolve.score import Needs, Objective, Record, Score, costs, violations
from evolve.variation import Offspring
from operators.llm.asking import BESIDE, conceived
from operators.llm.wording import Draw, filled
from operators.vector import mates

V = TypeVar("V", bound=VectorLike)


@dataclass(frozen=True)
class EvoLLM:
    """The mean that the model gives for `arity` members, and a normal step of `sigma` box widths.

    `resolution`: the largest integer; 0 is a gene's lower bound, or the least cost. `genes`: of a
    longer vector so many, drawn anew each time, are shown and moved; the others are those of the
    best member. Several objectives count as the sum of costs, each over its range.
    """

    chat: Chat
    objectives: tuple[Objective, ...]
    arity: int = 8
    resolution: int = 1000
    genes: int = 16
    sigma: float = 0.02
    temperature: float = 0.6
    name: str = "evollm"
    needs: Needs | None = BESIDE

    def __post_init__(self) -> None:
        if not self.objectives:
            raise ExperimentError(f"{self.name} has no objectives; give those of the fitness.")
        for count in ("arity", "resolution", "genes"):
            if vars(self)[count] < 1:
                raise ExperimentError(
                    f"{self.name} has {count}={vars(self)[count]}; give 1 or more."
                )
        if not self.sigma >= 0:
            raise ExperimentError(f"{self.name} has sigma={self.sigma}; give box widths >= 0.")

    def at(self, folder: Path) -> Self:
        return replace(self, chat=self.chat.at(folder))

    def vary(self, parents: Sequence[Record[V]], rng: np.random.Generator) -> Offspring[V]:
        """Raises `Infertile` for unlike parents, and if an answer and its repair are refused."""
        mates(parents, self.arity, self.name)
        draw = Draw("strategy", "mean", self.temperature, int(rng.integers(2**31)))
        members = list({parent.digest: parent for parent in parents}.values())
        box = members[0].genome.box
        shown = np.sort(rng.permutation(box.size)[: self.genes])
        width = box.high - box.low
        step = self.sigma * width * rng.standard_normal(box.size)
        level = ranked([member.score for member in members], self.objectives, self.resolution)
        order = sorted(range(len(members)), key=lambda i: (-level[i], members[i].birth))
        best = members[order[-1]].genome
        lines = [
            f"{_listed(discrete(members[i].genome.values, box, self.resolution)[shown])}; "
            f"cost {level[i]}"
            for i in order
        ]
        parts = {
            "genes": str(len(shown)),
            "top": str(self.resolution),
            "candidates": "\n".join(lines),
        }

        def moved(answer: str) -> V:
            mean = means(answer, len(shown), self.resolution) / self.resolution
            values = best.values.copy()
            values[shown] = box.low[shown] + mean * width[shown] + step[shown]
            return best.at(values)

        question, opening = filled("strategy_ask", parts), filled("strategy", parts)
        facts = {"family": "strategy"}
        return conceived(self.chat, question, moved, draw, facts, opening=opening)


def discrete(values: np.ndarray, box: Box, top: int) -> np.ndarray:
    """(d,) int64: 0 at the lower bounds, `top` at the upper ones; 0 where these are equal."""
    width = np.where(box.high > box.low, box.high - box.low, 1.0)
    found: np.ndarray = np.rint((values - box.low) / width * top).astype(np.int64)
    return found


def ranked(scores: Sequence[Score], objectives: Sequence[Objective], top: int) -> list[int]:
    """Costs as integers: 0 the least, `top` the largest, and for what failed or is infeasible."""
    table = costs(scores, objectives)
    sound = np.isfinite(table).all(axis=1) & (violations(scores) <= 0)
    found = np.full(len(scores), top, dtype=np.int64)
    if sound.any():
        known = table[sound]
        total = _scaled(_scaled(known).sum(axis=1, keepdims=True))[:, 0]
        found[sound] = np.rint(total * top).astype(np.int64)
    return [int(level) for level in found]


def _listed(numbers: np.ndarray) -> str:
    return ", ".join(str(int(number)) for number in numbers)


def means(answer: str, n: int, top: int) -> np.ndarray:
    """(n,) float64: the integers behind the last `mean:`. Raises `GenomeError`."""
    lines = [line.strip() for line in spoken(answer).splitlines()]
    said = [line for line in lines if re.match(r"[*_`> ]*mean\b", line, re.IGNORECASE)]
    form = f"end with one line `mean:` and {n} integers from 0 to {top}, separated by commas"
    if not said:
        raise GenomeError(f"The answer has no line that begins with `mean:`; {form}.")
    words = re.sub(r"^.*?mean\W*?[:=]", "", said[-1], flags=re.IGNORECASE).strip("[]()*_`. ")
    parts = [part.strip() for part in words.split(",")]
    if bad := [part for part in parts if not re.fullmatch(r"[0-9]{1,18}", part)]:
        raise GenomeError(f"The mean holds {bad[0][:40]!r}, which is no such integer; {form}.")
    if len(parts) != n:
        raise GenomeError(f"The mean has {len(parts)} numbers; {form}.")
    numbers = np.array([float(part) for part in parts])
    if (numbers > top).any():
        raise GenomeError(f"The mean holds {int(numbers.max())}, beyond {top}; {form}.")
    return numbers


def _scaled(table: np.ndarray) -> np.ndarray:
    """Columns over their ranges, from 0 to 1."""
    span = np.ptp(table, axis=0)
    return np.asarray((table - table.min(axis=0)) / np.where(span > 0, span, 1.0))
