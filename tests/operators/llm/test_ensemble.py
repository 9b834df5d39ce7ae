from __future__ import annotations

import pickle

from evolve.chat import Chat
from evolve.genomes.program.program import Program
from operators.llm import operators_of
from tests.operators.llm.cases import OBJECTIVES, START, TASK

CHAT = Chat("fake")


def test_operators_have_names_of_their_own_and_travel() -> None:
    found = operators_of(CHAT, OBJECTIVES, TASK, START)
    names = [operator.name for operator in found]
    assert len(set(names)) == len(names) == 5
    assert pickle.loads(pickle.dumps(found[0])) == found[0]


def test_a_thought_needs_another_region() -> None:
    one = Program({"a.py": "# EVOLVE-BLOCK-START a\nx = 1\n# EVOLVE-BLOCK-END\n"})
    names = [operator.name for operator in operators_of(CHAT, OBJECTIVES, TASK, one)]
    assert "llm_thought" not in names
    assert len(names) == 4
