from pathlib import Path

import pytest

from evolve.genomes.program.program import Program
from evolve.score import Objective
from experiments.mutators import built_in, code_operators, shares

TEXT = "# EVOLVE-BLOCK-START {0}\n{0} = 1\n# EVOLVE-BLOCK-END\n"
START = Program({"a.py": TEXT.format("one") + TEXT.format("two")})
GOALS = (Objective("loss"),)


def names() -> list[str]:
    return [operator.name for operator in code_operators(GOALS, "It is a test.", START)]


def test_without_a_model_only_the_built_in_ones_take_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("EVOLVE_LLM_MODEL", raising=False)
    assert names() == [operator.name for operator in built_in()]
    assert all(operator.needs is None for operator in built_in())


def test_a_program_without_a_network_has_numbers_and_regions_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("EVOLVE_LLM_MODEL", raising=False)
    few = code_operators(GOALS, "It is a test.", START, networks=False)
    assert [operator.name for operator in few] == ["literal", "regions"]


def test_with_a_model_its_operators_join(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EVOLVE_LLM_MODEL", "some-model")
    monkeypatch.setenv("EVOLVE_LLM_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.delenv("EVOLVE_LLM_REPLAY", raising=False)
    monkeypatch.delenv("EVOLVE_LLM_MAX_TOKENS", raising=False)
    more = set(names()) - {operator.name for operator in built_in()}
    assert {"llm_edits", "llm_rewrite", "llm_crossover"} <= more


def test_each_has_a_share() -> None:
    assert all(share > 0 for share in shares(built_in()))
