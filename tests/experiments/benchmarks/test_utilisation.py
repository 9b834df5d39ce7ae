from __future__ import annotations

import math
import statistics
from pathlib import Path

import pytest

import evolve
from evolve import Generational, Steady
from evolve.engine.run import conduct
from evolve.genomes.vector import Vector
from experiments.benchmarks.utilisation import (
    SECONDS,
    Span,
    experiment,
    main,
    spans,
    utilisation,
)
from fitness.problems import Problem


def test_utilisation_by_hand() -> None:
    """Both have begun at 2; the last is sent at 10: 8 s each, of which b is idle from 5 to 8."""
    found = [
        Span("a", 0.0, 6.0),  # 4 of its 6 s count
        Span("b", 2.0, 3.0),
        Span("a", 6.0, 4.0),
        Span("b", 8.0, 2.0),
        Span("a", 10.0, 5.0),  # the last: none counts
    ]
    assert utilisation(found, 2) == pytest.approx((4 + 4 + 3 + 2) / 16)
    assert utilisation(found[::-1], 2) == utilisation(found, 2)


def test_a_worker_without_work_is_said() -> None:
    with pytest.raises(ValueError, match="1 workers evaluated, expected 2"):
        utilisation([Span("a", 0.0, 1.0), Span("a", 1.0, 1.0)], 2)


def test_both_paces_sleep_the_same_times(tmp_path: Path) -> None:
    durations: list[list[float]] = []
    for pace in (Steady(8), Generational(8)):
        run = experiment(pace, births=33, seconds=1e-6)
        out = tmp_path / str(len(durations))
        conduct(run, out)
        assert isinstance(run.fitness, Problem)
        genomes = [record.genome for record in evolve.load(out).records]
        assert all(isinstance(genome, Vector) for genome in genomes)
        durations.append([run.fitness.duration(genome) for genome in genomes])  # type: ignore[arg-type]
        assert len(spans(out)) == 33
    assert durations[0] == durations[1]
    assert len(set(durations[0])) == 33


def test_durations_are_log_normal_of_the_named_mean() -> None:
    fitness = experiment(Steady(8), 1, SECONDS).fitness
    assert isinstance(fitness, Problem)
    search = experiment(Steady(8), 1, SECONDS).search()
    founder = search.ask(0, None).genome  # type: ignore[arg-type, union-attr]
    found = [fitness.duration(founder.at(founder.values * (1 - i / 2000))) for i in range(2000)]
    assert statistics.mean(found) == pytest.approx(0.25, rel=0.05)
    assert statistics.stdev(math.log(each) for each in found) == pytest.approx(0.5, rel=0.05)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
def test_the_table_has_a_row_a_pace(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--workers", "2", "--births", "33", "--seconds", "0.05"]) == 0
    window, generations = capsys.readouterr().out.strip().splitlines()[-2:]
    assert window.startswith("| window of 8 | 2 | 33 | ")
    assert "≥ 0.95: " in window
    assert 0 < float(generations.split("|")[4]) < 1
