"""The demo's search on real models: the same run anywhere, through kills, and exported whole."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import evolve
from evolve.engine.story import story
from evolve.export.checkpoint import CheckpointExporter
from experiments import material
from experiments.merge_stories import experiment, losses
from fitness.language import sequence_losses
from tests.evolve.engine.kills import killed, survive
from tests.experiments.merge_driver import small

DRIVER = [sys.executable, "-m", "tests.experiments.merge_driver"]
BIRTHS = 16


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> evolve.Run:
    """Of a few births, in this process."""
    return evolve.run(small(BIRTHS), tmp_path_factory.mktemp("merge") / "run")


@pytest.mark.slow
def test_founders_come_first_and_every_birth_is_scored(run: evolve.Run) -> None:
    assert [record.operator for record in run.records[:5]] == ["founder"] * 5
    assert all(record.score.error is None for record in run.records)
    assert len(run.records) == BIRTHS


@pytest.mark.slow
@pytest.mark.ray
def test_two_workers_give_the_same_run(run: evolve.Run, tmp_path: Path, cluster: None) -> None:
    assert evolve.run(small(BIRTHS), tmp_path / "run", workers=2).digest == run.digest


@pytest.mark.slow
def test_a_killed_driver_gives_the_same_run(run: evolve.Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [*DRIVER, str(folder), "0", str(BIRTHS)]
    killed(command, folder, BIRTHS, seed=3)
    resumed = evolve.run(small(BIRTHS), folder, resume=True)
    assert resumed.outcomes["driver lost"] == 1
    assert resumed.digest == run.digest


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_twenty_kills_with_two_workers_give_the_same_run(tmp_path: Path) -> None:
    births = 120
    whole = evolve.run(small(births), tmp_path / "whole")
    folder = tmp_path / "killed"
    command = [*DRIVER, str(folder), "2", str(births)]
    hits = survive(command, folder, births, kills=20, seed=2)
    run = evolve.load(folder)
    print(f"\n{hits} kills, {run.outcomes}, digest {run.digest[:16]}")
    assert hits == 20
    assert run.digest == whole.digest


@pytest.mark.slow
def test_the_export_has_the_loss_of_the_ledger(run: evolve.Run, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    knee, target = run.knee(), tmp_path / "knee"
    CheckpointExporter().export(knee, target, story(run, knee))
    model = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32)
    with torch.inference_mode():
        found = [
            float(sequence_losses(model, text[:2], 8).mean(dtype=np.float64))
            for text in material.texts("validation").values()
        ]
    np.testing.assert_allclose(found, knee.score.values, rtol=1e-5)
    assert AutoTokenizer.from_pretrained(target).decode([1, 9038]) != ""
    card = (target / "README.md").read_text()
    assert run.digest in card
    assert "birth" in card


def test_the_demo_is_what_the_readme_says() -> None:
    assert experiment.births == 300
    assert [objective.name for objective in experiment.fitness.objectives] == list(
        material.DOMAINS
    )
    assert experiment.final is not None
    assert experiment.window() == 8


def test_the_sealed_split_is_another_one() -> None:
    validation, test = (losses(split, 4, 129).domains for split in ("validation", "test"))
    for name in validation:
        assert not (validation[name][:, None] == test[name][None]).all(-1).any()
