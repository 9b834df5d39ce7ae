"""How far evolved code is kept from the machine: the levels, and what each leaves open.

Knows no process. `str(isolation)` is short enough to be stored with every score.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from evolve.errors import IsolationError

REQUIRED = "EVOLVE_REQUIRE_ISOLATION"  # the name of the environment variable


class Level(IntEnum):
    """What the machine allows; a higher one blocks all that a lower one does."""

    PLAIN = 1  # the launcher's user: seccomp, limits, a clean environment
    OTHER_USER = 2  # root without namespaces: as PLAIN, and a user of its own
    FULL = 3  # namespaces, and a root directory with nothing but Python, torch, numpy, scipy

    @property
    def word(self) -> str:
        """Its name for people, environment variables and command lines: "other-user"."""
        return self.name.lower().replace("_", "-")


class Gap(StrEnum):
    """What a level below FULL does not block."""

    FILES = "files its user may open"
    PACKAGES = "other installed packages"
    PROCESSES = "memory of its user's other processes"
    DISK = "number of its files"


GAPS: Mapping[Level, tuple[Gap, ...]] = {
    Level.PLAIN: (Gap.FILES, Gap.PACKAGES, Gap.PROCESSES, Gap.DISK),
    Level.OTHER_USER: (Gap.FILES, Gap.PACKAGES, Gap.DISK),
    Level.FULL: (),
}


@dataclass(frozen=True)
class Isolation:
    """What was reached, by trying: `parts` in words; `below` says why it is not more."""

    level: Level
    parts: tuple[str, ...]
    below: tuple[str, ...] = ()

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What is not blocked."""
        return GAPS[self.level]

    def __str__(self) -> str:
        reached = f"{self.level.word}: {', '.join(self.parts)}"
        return f"{reached}; not blocked: {', '.join(self.gaps)}" if self.gaps else reached

    def meet(self, required: Level) -> None:
        """Raises `IsolationError` if this is less than `required`."""
        if self.level < required:
            reasons = "".join(f"\n  {reason}" for reason in self.below)
            raise IsolationError(
                f"This machine isolates evolved code at level {self.level.word!r}, "
                f"{required.word!r} is required; it does not block: {', '.join(self.gaps)}."
                f"{reasons}\nAllow user namespaces or run as root with CAP_SYS_ADMIN, or require "
                f"less ({REQUIRED}={self.level.word}) if you trust the code."
            )


def required(environment: Mapping[str, str] = os.environ) -> Level:
    """The level that EVOLVE_REQUIRE_ISOLATION names, PLAIN without it."""
    word = environment.get(REQUIRED, "") or Level.PLAIN.word
    levels = {level.word: level for level in Level}
    if word not in levels:
        raise IsolationError(f"{REQUIRED} is {word!r}; give one of {', '.join(levels)}.")
    return levels[word]
