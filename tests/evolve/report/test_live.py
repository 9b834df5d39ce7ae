"""Progress: what the line says, plain where there is no terminal; the clock is ours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import StringIO

import pytest
from rich.console import Console

from evolve.experiment import Experiment, Final, Watcher
from evolve.genomes.vector import Vector
from evolve.report import live
from evolve.report.live import PLAIN_EVERY, Live
from evolve.score import Objective
from fitness.problems import Problem, zdt1
from tests.evolve.cases import failure, record


@dataclass
class Clock:
    now: float = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(live, "time", made)
    return made


def never() -> None:
    raise AssertionError("a watcher builds no search")


EXPERIMENT: Experiment[Vector] = Experiment("x", never, Problem(zdt1, 2), 10)  # type: ignore[arg-type]


def plain() -> tuple[Live, StringIO]:
    file = StringIO()
    return Live(Console(file=file, width=40)), file


def test_it_is_a_watcher() -> None:
    watcher: Watcher = plain()[0]
    watcher.says("x")


def test_without_a_terminal_it_is_quiet_and_ends_with_a_line(clock: Clock) -> None:
    watcher, file = plain()
    with watcher:
        watcher.started(EXPERIMENT, 10)
        for n in range(9):
            clock.now += 0.5
            watcher.told(record(n, [float(n), -float(n)]))
        assert file.getvalue() == ""
        clock.now += 0.5
        watcher.told(failure(9))
    assert file.getvalue() == (
        "10/10 births · 2/s · f1 0 · f2 -8 · front 9 · 1 failed · 0.0 min left\n"
    )


def test_a_line_now_and_then_with_the_time_left(clock: Clock) -> None:
    watcher, file = plain()
    watcher.started(EXPERIMENT, 1000)
    for n in range(31):
        watcher.told(record(n, [1.0, 1.0]))
        clock.now += 2.0
    lines = file.getvalue().splitlines()
    assert len(lines) == int(31 * 2.0 / PLAIN_EVERY)
    assert lines[0].startswith("11/1000 births · 0.5/s · f1 1 · f2 1")
    assert lines[0].endswith("33.0 min left")  # 989 births at two seconds each


def test_what_is_maximised_shows_its_greatest(clock: Clock) -> None:
    @dataclass(frozen=True)
    class Best(Problem):
        @property
        def objectives(self) -> tuple[Objective, ...]:
            return (Objective("[/up]", maximise=True),)

    watcher, file = plain()
    watcher.started(replace(EXPERIMENT, fitness=Best(zdt1)), 2)
    for n, value in enumerate((3.0, 2.0)):
        clock.now += 1
        watcher.told(record(n, [value]))
    assert "· [/up] 3 ·" in file.getvalue()


def test_what_was_told_before_does_not_count_as_speed(clock: Clock) -> None:
    watcher, file = plain()
    watcher.started(EXPERIMENT, 1000)
    watcher.resumed(500, [record(3, [0.5, 2.0])])
    clock.now += 30.0  # workers start
    for n in range(500, 520):
        clock.now += 2.0
        watcher.told(record(n, [1.0, 1.0]))
    last = file.getvalue().splitlines()[-1]
    assert last.startswith("511/1000 births · 0.5/s · f1 0.5 · f2 1 · front 12")
    assert last.endswith("16.3 min left")  # 489 births at two seconds each


def test_births_that_are_baselines_stand_beside_the_best(clock: Clock) -> None:
    @dataclass(frozen=True)
    class One(Problem):
        @property
        def objectives(self) -> tuple[Objective, ...]:
            return (Objective("loss"),)

    one = One(zdt1, 2)
    final = Final[Vector](one, births={"uniform": 1, "solver [/x]": 2, "broken": 3})
    experiment = replace(EXPERIMENT, fitness=one, final=final)
    watcher, file = plain()
    watcher.started(experiment, 6)
    watcher.told(record(0, [4.0]))
    clock.now += PLAIN_EVERY
    watcher.told(record(1, [3.0]))
    assert "2/6 births · 0.05/s · loss 3 (uniform 3) · front 1" in file.getvalue()
    watcher.resumed(4, [record(0, [1.0]), record(2, [2.0]), failure(3)])
    clock.now += PLAIN_EVERY
    watcher.told(record(4, [9.0]))
    assert "· loss 1 (uniform 3, solver [/x] 2) · front 1" in file.getvalue()
    watcher.told(record(5, [8.0], rung=1))
    assert "· loss 8 · front 1" in file.getvalue()  # of other samples
    watcher, file = plain()
    watcher.started(replace(EXPERIMENT, final=final), 1)
    watcher.told(record(1, [1.0, 1.0]))
    assert "uniform" not in file.getvalue()  # of two objectives there is no one best


def test_one_birth_has_no_speed(clock: Clock) -> None:
    watcher, file = plain()
    watcher.started(EXPERIMENT, 1)
    watcher.told(record(0, [1.0, 1.0]))
    assert file.getvalue().startswith("1/1 births · 0/s")


def test_words_are_printed_as_they_are() -> None:
    watcher, file = plain()
    watcher.says("Exporting the knee to /a/very/long/path/[b]/that/is/longer/than/the/console")
    assert file.getvalue() == (
        "Exporting the knee to /a/very/long/path/[b]/that/is/longer/than/the/console\n"
    )


def test_on_a_terminal_the_line_is_alive_and_leaves_nothing(clock: Clock) -> None:
    file = StringIO()
    watcher = Live(Console(file=file, force_terminal=True, width=100))
    with watcher:
        watcher.started(EXPERIMENT, 2)
        for n in range(2):
            clock.now += 1.0
            watcher.told(record(n, [1.0, 1.0]))
    assert "2/2 births" in file.getvalue()
    assert file.getvalue().rstrip().endswith("\x1b[2K")  # the line is wiped


def test_it_closes_when_nothing_was_begun() -> None:
    with plain()[0]:
        pass
