"""A small program, its records, and answers of a model; a contract suite for what asks one."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from evolve.chat import Chat
from evolve.genome import digest
from evolve.genomes.program.program import Program
from evolve.score import G, Objective, Record, Score
from evolve.streams import Stream, rng_for
from evolve.variation import offspring
from tests.contracts.operator import OperatorContract
from tests.evolve.chat.server import Asked, Behaviour, FakeServer, Say, Script, serve

START = Program(
    {
        "net.py": '''"""A net."""

# EVOLVE-BLOCK-START network
width = 8
depth = 2
# EVOLVE-BLOCK-END
LABELS = 10


def train():
    # EVOLVE-BLOCK-START schedule
    rate = 0.1
    return rate
    # EVOLVE-BLOCK-END
'''
    }
)
OBJECTIVES = (Objective("accuracy", maximise=True, unit="%"), Objective("parameters"))
TASK = "It recognises handwritten digits."
WIDER = START.swapped({"network": "width = 16\ndepth = 2\n"})
LATER = START.swapped({"schedule": "rate = 0.1\nreturn rate / 2\n"})


def record(
    program: Program, accuracy: float = 90.0, size: float = 500.0, birth: int = 0
) -> Record[Program]:
    """`program`, scored."""
    return Record(birth, program, digest(program), Score((accuracy, size)))


def failed(program: Program, error: str, detail: str = "", birth: int = 9) -> Record[Program]:
    """`program`, failed."""
    notes = {"detail": detail} if detail else {}
    return Record(birth, program, digest(program), Score.failed(error, notes))


def edit(old: str, new: str) -> str:
    return f"<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n"


def region(name: str, text: str) -> str:
    return f"```python {name}\n{text}\n```\n"


def rng(n: int = 0) -> np.random.Generator:
    return rng_for(7, n, Stream.VARY)


def talk(server: FakeServer, folder: Path | None = None) -> Chat:
    """A chat with `server`, which may take a few seconds of a loaded machine."""
    return Chat("fake", base_url=server.base_url, timeout=30.0, folder=folder)


def saying(*answers: str) -> Script:
    """The answers one after the other, the last again and again."""
    return lambda number, asked: Say(answers[min(number, len(answers) - 1)])


def number_of(asked: Asked) -> int:
    """A number from 10 to 1009 that goes with what was asked."""
    return 10 + zlib.crc32(asked.prompt.encode()) % 1000


class LanguageContract(OperatorContract[G]):
    """The suite of all operators, for one that asks; every question has an answer of its own.

    The server lives as long as the class: what one test has asked, the others have on record.
    """

    births = 2
    server: FakeServer

    def answer(self, asked: Asked) -> str:
        raise NotImplementedError

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _served(cls) -> Iterator[None]:
        def script(number: int, asked: Asked) -> Behaviour:
            return Say(cls().answer(asked))

        with serve(script) as cls.server:
            yield

    def test_asks_once_for_one_draw(self) -> None:
        asked = self.server.count
        self.child(self.parents(0), 77)
        once = self.server.count
        self.child(self.parents(0), 77)
        assert asked < once == self.server.count

    def test_shows_the_whole_story_in_facts(self) -> None:
        born = offspring(self.operator().vary(self.parents(0), rng_for(7, 0, Stream.ASK)))
        assert {"family", "prompt", "temperature", "transcripts"} <= set(born.facts)
        assert int(str(born.facts["tokens_in"])) > 0
        assert born.facts["estimated"] is False
