"""How many workers a command takes when nobody says."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from evolve import Final, Needs, cli
from evolve.genomes.vector import Vector
from fitness.problems import Problem, dtlz2
from tests.evolve.engine.problems import dtlz


@pytest.mark.parametrize(
    ("ours", "theirs", "count"),
    [
        (Needs(), Needs(), 6),
        (Needs(cpus=2.0), Needs(), 3),
        (Needs(), Needs(cpus=3.0), 2),
        (Needs(cpus=7.0), Needs(), 1),
        (Needs(cpus=0.0), Needs(cpus=0.0), 8),
        (Needs(batch=4), Needs(), 6),
        (Needs(gpus=1.0), Needs(), 2),
        (Needs(), Needs(gpus=0.5), 4),
        (Needs(gpus=4.0), Needs(), 1),
    ],
)
def test_the_default_workers_are_what_cores_devices_and_the_window_bear(
    monkeypatch: pytest.MonkeyPatch, ours: Needs, theirs: Needs, count: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    final: Final[Vector] = Final(Problem(dtlz2, 3, needs=theirs))
    experiment = replace(dtlz(20), fitness=Problem(dtlz2, 3, needs=ours), final=final)
    assert cli._workers(None, experiment) == count
    assert cli._workers(7, experiment) == 7
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cli._cores() == os.cpu_count()
