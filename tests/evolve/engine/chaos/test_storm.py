"""Drivers, workers and nodes killed at random: nothing scored is lost, the run is the same run."""

from __future__ import annotations

from pathlib import Path

import pytest

import evolve
from tests.evolve.engine.chaos.drivers import Zygote
from tests.evolve.engine.chaos.mischief import Mischief
from tests.evolve.engine.chaos.storm import Kills, Report, Storm, experiment
from tests.evolve.engine.chaos.town import town

pytestmark = [pytest.mark.ray]


def weather(scratch: Path, drivers: Zygote, births: int, aims: Kills, seed: int) -> Report:
    """A storm over a cluster of its own, held to everything that must come out of it."""
    calm = experiment(births, Mischief(scratch, deeds=(), seconds=0.0))
    whole = evolve.run(calm, scratch / "whole")
    with town(nodes=2) as around:
        report = Storm(around, drivers, scratch / "storm", births, aims, seed).blow()
    print(f"\n{report}")
    assert report.kills == aims
    assert report.digest == whole.digest
    assert report.lost == 0
    assert report.sound
    assert report.injected > 0.03 * births
    assert report.wasted <= report.kills.wasted + report.injected
    return report


@pytest.mark.slow
def test_a_short_storm_gives_the_same_run(tmp_path: Path, drivers: Zygote) -> None:
    weather(tmp_path, drivers, births=300, aims=Kills(drivers=10, workers=7, nodes=3), seed=1)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_long_storm_gives_the_same_run(tmp_path: Path, drivers: Zygote) -> None:
    """Its line of figures is in the README."""
    weather(
        tmp_path, drivers, births=5_000, aims=Kills(drivers=100, workers=100, nodes=30), seed=2
    )
