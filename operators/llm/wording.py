"""The prompts: text files with `$names` to be filled in, and which are drawn. Asks nobody.

An opening says who speaks, an aim what to try; both are drawn, so that answers differ in more
than their temperature. Openings come in two families, plain and role-play: that characters
widen the search is Guided Evolution's idea (Morris et al. 2024); these are our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template

import numpy as np

from evolve.errors import ExperimentError
from evolve.genome import Json

PLAIN = ("plain_direct", "plain_careful")
ROLES = ("role_watchmaker", "role_gardener", "role_smuggler", "role_heretic")
AIMS = (
    "aim_free",
    "aim_tune",
    "aim_simplify",
    "aim_restructure",
    "aim_unusual",
    "aim_weakest",
)


@dataclass(frozen=True)
class Draw:
    """What chance decides of one variation. `sample` tells requests of equal text apart."""

    opening: str
    aim: str
    temperature: float
    sample: int

    @property
    def facts(self) -> dict[str, Json]:
        return {"prompt": self.opening, "aim": self.aim, "temperature": self.temperature}


@dataclass(frozen=True)
class Style:
    """Names of prompts, and temperatures, that are drawn with equal chances."""

    openings: tuple[str, ...] = PLAIN + ROLES
    aims: tuple[str, ...] = AIMS
    temperatures: tuple[float, ...] = (0.2, 0.6, 1.0)

    def __post_init__(self) -> None:
        for name in ("openings", "aims", "temperatures"):
            if not vars(self)[name]:
                raise ExperimentError(f"Style.{name} is empty; give one or more.")
        for prompt in self.openings + self.aims:
            said(prompt)
        if not all(0 <= heat <= 2 for heat in self.temperatures):
            raise ExperimentError(
                f"Style.temperatures is {self.temperatures}; give numbers from 0 to 2."
            )

    def draw(self, rng: np.random.Generator) -> Draw:
        """Four numbers of `rng`, before anything is asked: asked again, the draw is the same."""
        return Draw(
            opening=self.openings[int(rng.integers(len(self.openings)))],
            aim=self.aims[int(rng.integers(len(self.aims)))],
            temperature=self.temperatures[int(rng.integers(len(self.temperatures)))],
            sample=int(rng.integers(2**31)),
        )


def filled(prompt: str, parts: Mapping[str, str]) -> str:
    """The prompt `prompt` with `parts` in the places of their names."""
    return Template(said(prompt)).substitute(parts)


@cache
def said(prompt: str) -> str:
    """The text of the file `prompt`.txt. Raises `ExperimentError` if there is none."""
    file = files("operators.llm") / "prompts" / f"{prompt}.txt"
    if not file.is_file():
        raise ExperimentError(
            f"There is no prompt {prompt!r}; give names of operators/llm/prompts, e.g. {PLAIN[0]}."
        )
    return file.read_text(encoding="utf-8").strip("\n")
