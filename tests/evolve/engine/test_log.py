"""The log: every line parses, a torn one is cut, it stays small, and it never stops a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from evolve.engine.events import Event, Kind
from evolve.engine.log import Log, line_of

ANSWERED = Event(Kind.ANSWERED, 7, 2, 1, "w1", 0.25, detail="scored")


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def test_a_line_has_the_fields_of_its_event_and_no_others(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log(ANSWERED)
    log(Event(Kind.NODES, count=0))
    log.close()
    before, after = time.time() - 60, time.time()
    first, second = rows(tmp_path / "log.jsonl")
    assert before < first.pop("time") <= after
    assert first == {
        "kind": "answered", "birth": 7, "attempt": 2, "epoch": 1, "worker": "w1",
        "seconds": 0.25, "detail": "scored",
    }  # fmt: skip
    del second["time"]
    assert second == {"kind": "nodes", "count": 0}  # zero is a count


def test_a_line_is_there_when_the_call_returns(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    for n in range(3):
        log(Event(Kind.TOLD, n))
        assert [row["birth"] for row in rows(tmp_path / "log.jsonl")] == list(range(n + 1))
    log.close()


def test_what_repeats_other_events_is_left_out(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log(Event(Kind.QUEUE, count=3))
    for state in ("starting", "ready", "busy", "ready", "busy", "dead", "waiting"):
        log(Event(Kind.WORKER, worker="a", detail=state))
    log(Event(Kind.WORKER, worker="a", detail="starting"))
    log(Event(Kind.WORKER, worker="a", detail="ready"))
    log.close()
    states = [row["detail"] for row in rows(tmp_path / "log.jsonl")]
    assert states == ["starting", "ready", "dead", "waiting", "starting", "ready"]


def test_a_long_detail_keeps_its_kind_and_its_end(tmp_path: Path) -> None:
    trace = "exception: Traceback\n" + "  line\n" * 500 + "ValueError: the cause\ud800 é\n"
    line = line_of(Event(Kind.FAILED, 1, detail=trace), 0.0)
    detail = json.loads(line)["detail"]
    assert detail.startswith("exception: Traceback")
    assert detail.endswith("ValueError: the cause\ud800 é\n")
    assert len(detail) < 520
    assert line.count(b"\n") == 1


@pytest.mark.parametrize("cut", range(1, len(line_of(ANSWERED, 1.5)) + 1))
def test_a_torn_line_is_cut_and_swallows_nothing(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "log.jsonl"
    whole = line_of(ANSWERED, 1.5)
    path.write_bytes(whole + whole[:-cut])
    log = Log(path)
    log(Event(Kind.TOLD, 8))
    log.close()
    kinds = [row["kind"] for row in rows(path)]
    assert kinds == ["answered", "told"]


def test_a_file_that_is_one_torn_line_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"time":1')
    log = Log(path)
    log(Event(Kind.TOLD, 8))
    log.close()
    assert [row["birth"] for row in rows(path)] == [8]


def test_a_killed_writer_loses_no_line_that_it_has_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    script = (
        "import sys, pathlib\n"
        "from evolve.engine.events import Event, Kind\n"
        "from evolve.engine.log import Log\n"
        "log = Log(pathlib.Path(sys.argv[1]))\n"
        "for n in range(10_000_000):\n"
        "    log(Event(Kind.TOLD, n, detail='x' * 300))\n"
        "    print(n, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(200):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        acknowledged = 199 + len(process.stdout.readlines())
    log = Log(path)
    log(Event(Kind.TOLD, -1))
    log.close()
    births = [row["birth"] for row in rows(path)]
    assert births[-1] == -1
    assert births[:-1] == list(range(len(births) - 1))
    assert len(births) - 1 >= acknowledged


def test_it_stays_within_two_files(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl", limit=10_000)
    for n in range(2_000):
        log(Event(Kind.TOLD, n, epoch=1))
    log.close()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["log.1.jsonl", "log.jsonl"]
    assert all((tmp_path / name).stat().st_size <= 10_000 for name in files)
    kept = [row["birth"] for name in files for row in rows(tmp_path / name)]
    assert kept == list(range(2_000 - len(kept), 2_000))
    assert len(kept) > 150


def test_it_goes_on_at_the_size_that_it_finds(tmp_path: Path) -> None:
    for n in range(400):
        log = Log(tmp_path / "log.jsonl", limit=10_000)
        log(Event(Kind.TOLD, n))
        log.close()
    assert (tmp_path / "log.jsonl").stat().st_size <= 10_000
    assert (tmp_path / "log.1.jsonl").exists()


def test_a_full_disk_ends_the_log_and_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    said: list[str] = []
    log = Log(tmp_path / "log.jsonl", says=said.append)
    for n in range(3):
        log(Event(Kind.TOLD, n))
    log.close()
    assert len(said) == 1
    assert "No space left" in said[0]
    assert "the ledger" in said[0]


def test_a_place_that_cannot_be_written_is_said_and_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log(tmp_path / "absent" / "log.jsonl")
    log(ANSWERED)
    log.close()
    out, err = capsys.readouterr()
    assert out == ""  # stdout is for results
    assert err.count("Cannot write to the log") == 1
