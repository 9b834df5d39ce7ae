"""EvoLLM's experiment runs against a server, and says what is missing without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import evolve
from evolve.errors import ExperimentError
from experiments import evollm_bbob
from fitness.problems import Formula
from tests.evolve.chat.server import Asked, Behaviour, Say, serve


@pytest.fixture(autouse=True)
def _no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODEL", "BASE_URL", "MAX_TOKENS", "REPLAY"):
        monkeypatch.delenv(f"EVOLVE_LLM_{name}", raising=False)


def test_without_a_model_it_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"--llm-model and.*--llm-base-url"):
        evolve.run(evollm_bbob.experiment, tmp_path / "run")


def test_a_short_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def script(number: int, asked: Asked) -> Behaviour:
        if number == 0:
            return Say("mean: somewhere")
        return Say(f"mean: {', '.join(['500'] * evollm_bbob.D)}")

    with serve(script) as server:
        monkeypatch.setenv("EVOLVE_LLM_MODEL", "fake")
        monkeypatch.setenv("EVOLVE_LLM_BASE_URL", server.base_url)
        short = replace(evollm_bbob.rosenbrock, births=evollm_bbob.SIZE + 3)
        run = evolve.run(short, tmp_path / "run")
        assert server.count == 4
    children = run.records[evollm_bbob.SIZE :]
    assert [child.operator for child in children] == ["evollm"] * 3
    assert sum("repaired" in child.facts for child in children) == 1
    assert all(np.abs(child.genome.values).max() < 1.0 for child in children)
    assert (tmp_path / "run" / "transcripts.jsonl").is_file()


@pytest.mark.parametrize(
    "formula", [evollm_bbob.shifted_rastrigin, evollm_bbob.shifted_rosenbrock]
)
def test_the_optimum_is_where_it_is_said_to_be(formula: Formula) -> None:
    at = evollm_bbob.optimum
    assert formula(at, 1) == (0.0,)
    around = [at + 0.01 * step for step in np.random.default_rng(0).standard_normal((50, len(at)))]
    assert min(formula(x, 1)[0] for x in around) > 0
    assert np.abs(at).max() < 5
