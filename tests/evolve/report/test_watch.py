"""The screen of a run: what it says, that nothing is markup, when it ends."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from evolve.archive.front import Front
from evolve.failure import Policy
from evolve.report import watch as module
from evolve.report.progress import Flight, Progress, Seen
from evolve.report.watch import lasting, screen, watch
from evolve.score import Objective
from tests.evolve.cases import record
from tests.evolve.report.runs import written

FACTS: Mapping[str, Any] = {"name": "m [/x]", "births": 400, "policy": vars(Policy())}
FRONT: Front[Any] = Front.of(
    [record(3, [0.25, 9.0]), record(5, [7.0, 1.5])],
    (Objective("loss"), Objective("ms", unit="ms")),
)
AT_WORK = Progress(
    facts=FACTS,
    told=112,
    written=120,
    rate=2.0,
    flights=(Flight(112, 2, "evaluate", 250.0), Flight(113, 1, "vary", 3.0)),
    workers=(Seen("ray-1 [/b]", 9, 4, 0.876, "timeout", 3.0),),
    outcomes={"scored": 106, "timeout": 8, "timeout in a batch": 1, "driver lost": 2},
    fenced=3,
    failed={"timeout": 4},
    quarantined=4,
    front=FRONT,
    read=112,
    epoch=3,
    quiet=1.0,
)


def text(progress: Progress, width: int = 140) -> str:
    file = StringIO()
    Console(file=file, width=width, highlight=False).print(screen(progress, Path("runs/m")))
    return file.getvalue()


def rows(shown: str) -> list[str]:
    return [" ".join(line.split()) for line in shown.splitlines()]


def test_a_run_at_work() -> None:
    shown = text(AT_WORK)
    lines = rows(shown)
    assert lines[0] == "m [/x] in runs/m"
    assert "112 of 400 births told, 8 begun, 2/s, 2 min left" in shown
    assert lines[2] == "driver at work, begun again 2 times"
    assert "best loss 0.25 (birth 3), best ms 1.5 ms (birth 5)" in shown
    assert lines[4] == (
        "births failed: 4 (4 timeout); genomes in quarantine: 4; late results fenced: 3"
    )
    for words in ("workers lately: 1", "ray-1 [/b] 9 4 88% timeout 3 s", "in flight: 2",
                  "112 2 evaluate 4 min", "113 1 vary 3 s"):  # fmt: skip
        assert any(words in line for line in lines), words


def test_attempts_stand_beside_what_a_birth_gets() -> None:
    alone = rows(text(replace(AT_WORK, workers=(), flights=())))
    begun = alone.index("attempts a birth gets")
    assert alone[begun + 1 :] == [
        "scored 106", "timeout in a batch 1", "driver lost 2 free", "worker lost 0 3",
        "node lost 0 5", "out of memory 0 2", "timeout 8 2", "exception 0 2", "invalid 0 1",
        "infertile 0 3",
    ]  # fmt: skip


def test_a_driver_that_is_gone_is_said() -> None:
    assert "no sign of a driver for 10 min" in text(replace(AT_WORK, quiet=600.0))
    assert (
        "driver"
        not in rows(text(replace(AT_WORK, quiet=600.0, facts={**FACTS, "finished": 1})))[2]
    )


def test_the_front_of_a_part_says_so() -> None:
    assert "front of the first 50 births: 2" in text(replace(AT_WORK, read=50))
    assert "nothing feasible yet" in text(replace(AT_WORK, front=Front(FRONT.objectives)))


def test_of_many_workers_those_that_fail_are_shown() -> None:
    many = tuple(Seen(f"ray-{n}", 9, n, 0.5, "scored", 0.0) for n in range(40))
    shown = text(replace(AT_WORK, workers=many))
    assert "workers lately: 40, 30 not shown" in shown
    assert "ray-39 " in shown
    assert "ray-29 " not in shown


def test_of_many_flights_the_oldest_are_shown() -> None:
    many = tuple(Flight(200 + n, 1, "evaluate", 90.0 - n) for n in range(40))
    shown = text(replace(AT_WORK, flights=many))
    assert "in flight: 40, the oldest 10" in shown
    assert "200 " in shown
    assert "210 " not in shown


def test_a_narrow_terminal_is_no_crash() -> None:
    assert "112 of 400" in text(AT_WORK, width=60)
    text(AT_WORK, width=10)


def test_lasting() -> None:
    spans = (-1.0, 99.0, 150.0, 7_200.0, 400_000.0)
    assert [lasting(s) for s in spans] == ["0 s", "99 s", "2 min", "2.0 h", "4.6 days"]


def test_without_a_terminal_one_screen_is_printed(tmp_path: Path) -> None:
    written(tmp_path / "run")  # not finished
    file = StringIO()
    watch(tmp_path / "run", Console(file=file, width=120))
    assert file.getvalue().count("6 of 6 births told") == 1


def test_on_a_terminal_it_ends_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = written(tmp_path / "run")
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            import sqlite3

            with sqlite3.connect(run.path / "ledger.sqlite") as database:
                database.execute("INSERT INTO run VALUES ('finished', '1.0')")
            database.close()

    monkeypatch.setattr(module.time, "sleep", sleep)
    watch(run.path, Console(file=StringIO(), width=120, force_terminal=True))
    assert len(waits) == 3
    assert all(wait >= 2.0 for wait in waits)


def test_the_option_ends_cleanly_with_ctrl_c(tmp_path: Path) -> None:
    """A real terminal, a real Ctrl-C: a screen, the cursor back, no traceback, status 0."""
    import os
    import pty

    run = written(tmp_path / "run")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "evolve.cli", "show", str(run.path), "--watch"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
    ) as process:  # fmt: skip
        os.close(theirs)
        seen = b""
        until = time.monotonic() + 60
        while b"births failed" not in seen and time.monotonic() < until:
            seen += os.read(ours, 65_536)
        os.write(ours, b"\x03")
        while True:
            try:
                seen += os.read(ours, 65_536)
            except OSError:  # the terminal's other end is closed
                break
        assert process.wait(timeout=60) == 0
    os.close(ours)
    assert b"6 of 6 births told" in seen
    assert b"Traceback" not in seen
    assert seen.rindex(b"\x1b[?25h") > seen.index(b"\x1b[?25l"), "the cursor is shown again"


def test_json_and_watch_are_not_for_one_reader(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "evolve.cli", "show", str(tmp_path), "--watch", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--watch is for people" in " ".join(done.stderr.split())
