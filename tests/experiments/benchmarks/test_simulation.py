"""The simulation: its marks, its meter, its rows, and a resume of what it leaves."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evolve.archive.population import Population
from evolve.store.ledger import Ledger
from evolve.streams import Stream, rng_for
from experiments.benchmarks import simulation
from experiments.benchmarks.simulation import (
    EXPERIMENTS,
    PARTS,
    SINGLE,
    Mark,
    Meter,
    Rows,
    main,
    part_of,
    search,
)
from operators.selection import Truncation
from tests.evolve.cases import F, record


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_small_one_from_beginning_to_end(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(simulation, "MARKS", (50, 100))
    monkeypatch.setattr(simulation, "MORE", 5)
    monkeypatch.setattr(simulation, "fresh", lambda call, *arguments: call(*arguments))
    assert main(["--search", name, "--births", "300", "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| 300")]
    assert [len(row) for row in rows] == [11, 3]  # a mark at the end, and its resume
    copy = Ledger.open(tmp_path / f"{name}-300", write=False)
    assert (copy.told(), copy.births()) == (300, 305)
    assert "refused as late" in text
    copy.close()


def test_the_meter_knows_whose_time_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def select(*_: Any, **__: Any) -> Any:
        seen.append(part_of(sys._getframe()))
        raise RuntimeError("enough")

    population: Population[Any] = Population(2, Truncation(), F)
    population.selection = select
    with pytest.raises(RuntimeError, match="enough"):
        population.admit([record(n, [float(n)]) for n in range(3)], rng_for(0, 0, Stream.TELL))
    assert seen == ["search"]  # called from there; a test is of no part
    assert part_of(sys._getframe()) == part_of(None) == "loop"


def spent(do: Callable[[], object], seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        do()


def test_the_meter_counts_but_for_pauses() -> None:
    meter, genetic = Meter(), search(SINGLE)
    with meter.running():
        spent(lambda: genetic.seen(3), 0.2)
        before = dict(meter.seconds)
        with meter.paused():
            spent(lambda: genetic.seen(3), 0.2)
        assert meter.seconds == before
    assert set(meter.seconds) == set(PARTS)
    assert 0.1 < sum(meter.seconds.values()) < 0.4


def test_rows_are_of_the_births_since_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    rows = Rows()
    rows.row(Mark(100, 120, dict.fromkeys(PARTS, 0.012), 0.12, 10**8, 12_000, 0.5, 1))
    capsys.readouterr()
    rows.row(Mark(200, 220, dict.fromkeys(PARTS, 0.032), 0.24, 2 * 10**8, 42_000, 0.6, 3))
    cells = capsys.readouterr().out.strip("| \n").split(" | ")
    assert cells == ["200", *["200"] * 4, "800", "1200", "200", "300", "0.600", "3"]
