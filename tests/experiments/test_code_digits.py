from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import evolve
from evolve import Experiment
from evolve.engine.source import load_experiment
from evolve.errors import FitnessError
from evolve.genomes.program.program import Program
from experiments import code_digits
from fitness.harness import Data

FILE = Path(code_digits.__file__)
MADE = {"": "experiment", "_iid": "iid", "_random_walk": "random_walk"}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[[Experiment[Program]], Experiment[Program]]:
    """One epoch on a few images."""
    monkeypatch.delenv("EVOLVE_LLM_MODEL", raising=False)
    whole = code_digits.validation.data
    few = Data(whole.train_inputs[:200], whole.train_labels[:200], whole.inputs, whole.labels)
    fitness = replace(code_digits.validation, data=few, rungs=(1,))
    monkeypatch.setattr(code_digits, "validation", fitness)

    def shortened(made: Experiment[Program]) -> Experiment[Program]:
        return replace(made, fitness=fitness, births=5, final=None)

    return shortened


@pytest.mark.parametrize("name", MADE.values())
def test_an_arm_runs(name: str, quick: Callable, tmp_path: Path) -> None:  # type: ignore[type-arg]
    arms = vars(code_digits)
    run = evolve.run(quick(arms[name]), tmp_path / "run")
    assert [record.operator == "founder" for record in run.records] == [True] + [False] * 4
    founder, *children = run.records
    assert founder.score.error is None
    assert len({record.digest for record in run.records}) == 5
    assert all(child.genome.protected == founder.genome.protected for child in children)
    if name == "iid":
        assert {child.operator[:5] for child in children} == {"fresh"}


def test_the_command_line_finds_each_arm() -> None:
    for suffix, name in MADE.items():
        path = FILE if name == "experiment" else FILE.with_name(f"{FILE.name}:{name}")
        assert load_experiment(path).name == f"code_digits{suffix}"


def test_the_sealed_test_shares_no_image_with_the_search() -> None:
    sealed, search = code_digits.test.data, code_digits.validation.data
    assert sealed.train_inputs is search.train_inputs
    seen = {row.tobytes() for part in (search.train_inputs, search.inputs) for row in part}
    assert len(sealed.inputs) == 400
    assert sum(row.tobytes() in seen for row in sealed.inputs) == 0


def test_a_start_that_fails_is_an_error_before_any_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = code_digits.start.swapped({"network": "def build():\n    return nn.Linear(7, 10)\n"})
    monkeypatch.setattr(code_digits, "start", broken)
    monkeypatch.setattr(code_digits, "validation", replace(code_digits.validation, start=broken))
    with pytest.raises(FitnessError, match=r"The start program digits.py fails: .*meta device"):
        evolve.run(code_digits.experiment, tmp_path / "run")
    assert not (tmp_path / "run").exists()
