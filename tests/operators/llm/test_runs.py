"""Whole runs that ask a language model: killed, resumed, replayed, capped, not at home."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import evolve
from evolve import Free
from evolve.engine.events import Event, Kind
from evolve.engine.run import conduct
from evolve.engine.source import load_experiment
from evolve.engine.surroundings import BASE_URL, MAX_TOKENS, MODEL, NAMES, REPLAY
from tests.evolve.chat.server import Asked, Behaviour, Say, Stall, serve
from tests.operators.llm.cases import edit, number_of, region

WINDOW = 6


def model(number: int, asked: Asked) -> Behaviour:
    """Mostly good edits; some that need a repair, some that are no use at all."""
    prompt, n = asked.prompt, number_of(asked)
    if "Why may the change have helped?" in prompt:
        return Say("Numbers near a hundred are better.")
    repairing = "was refused" in prompt or len(asked.body["messages"]) > 2
    if n % 5 == 0 or (n % 3 == 0 and not repairing):
        return Say(edit("LABELS = 10", "LABELS = 1") if n % 2 else "I would rather not.")
    if "<<<<<<<" in prompt:
        old = re.findall(r"^rate = .*$", prompt, flags=re.MULTILINE)[0]
        return Say(edit(old, f"rate = {n}"))
    name = "schedule" if "the region schedule" in prompt else "network"
    text = f"rate = {n}\n" if name == "schedule" else f"width = {n}\ndepth = 3\n"
    return Say(region(name, text))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in NAMES:
        monkeypatch.setenv(name, "")
    monkeypatch.setenv(MODEL, f"fake {tmp_path.name}")  # one that no other test has tired
    there = tmp_path / "asking_toy.py"
    shutil.copy(Path(__file__).parent / "asking_toy.py", there)
    return there


@pytest.fixture
def loaded(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield load_experiment(file)
    sys.modules.pop("asking_toy", None)


def lines(run: Path) -> list[dict[str, Any]]:
    """The transcripts, as far as they are written."""
    there = run / "transcripts.jsonl"
    written = there.read_text().splitlines() if there.exists() else []
    found = []
    for line in written:
        try:
            found.append(json.loads(line))
        except ValueError:  # torn, by a kill
            continue
    return found


def driver(file: Path, run: Path, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "evolve.cli", *words, "--workers", "0"]
    with (file.parent / "driver.log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=file.parent, env=dict(os.environ), stdout=log, stderr=log
        )


@pytest.mark.slow
def test_killed_it_asks_for_nothing_again_and_replayed_it_is_the_same(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, kills = file.parent / "run", 2
    with serve(model) as server:
        monkeypatch.setenv(BASE_URL, server.base_url)
        words = ["run", str(file), "--out", str(run)]
        for kill in range(kills):
            process = driver(file, run, *words)
            while process.poll() is None and len(lines(run)) < 8 * (kill + 1):
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL, (file.parent / "driver.log").read_text()
            words = ["resume", str(run)]
        assert driver(file, run, *words).wait() == 0, (file.parent / "driver.log").read_text()
        asked = server.count
    found = evolve.load(run)
    assert len(found.records) == 30
    keys = [line["key"] for line in lines(run)]
    assert len(set(keys)) == len(keys) > 16
    assert len(keys) <= asked <= len(keys) + kills * WINDOW  # what was in flight at a kill

    shown = show(run)  # everything is visible
    assert {"llm_edits", "llm_crossover", "llm_thought", "nudge"} <= set(shown["operators"])
    assert shown["principles"]
    assert {words for _, words in shown["principles"]} == {"Numbers near a hundred are better."}
    assert shown["repairs"]
    assert any("refused" in each["reason"] for each in shown["refusals"])

    again = file.parent / "again"
    monkeypatch.setenv(BASE_URL, "http://127.0.0.1:9")  # nobody there
    monkeypatch.setenv(REPLAY, str(run))
    assert driver(file, again, "run", str(file), "--out", str(again)).wait() == 0
    assert [r.digest for r in evolve.load(again).records] == [r.digest for r in found.records]
    assert evolve.load(again).digest == found.digest


def show(run: Path) -> Any:
    command = [sys.executable, "-m", "evolve.cli", "show", str(run), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def test_the_cap_ends_the_run_cleanly_and_is_never_passed(
    loaded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(model) as server:
        monkeypatch.setenv(BASE_URL, server.base_url)
        monkeypatch.setenv(MAX_TOKENS, "8000")
        run = conduct(loaded, tmp_path / "run")
        assert 1 < len(run.records) < 30
        assert "finished" not in run.facts
        assert run.outcomes["halted"] >= 1
        assert 0 < server.reported <= 8_000
        before = server.count
        monkeypatch.setenv(MAX_TOKENS, "10000000")
        more = conduct(loaded, tmp_path / "run", resume=True)
        assert len(more.records) == 30
        assert server.count > before


def test_a_stalled_server_stops_neither_the_workers_nor_the_run(
    loaded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    with serve(lambda number, asked: Stall(60.0)) as server:
        monkeypatch.setenv(BASE_URL, server.base_url)
        experiment = evolve.Experiment(
            "asking", loaded.search, loaded.fitness, births=30, order=Free()
        )
        run = conduct(experiment, tmp_path / "run", observers=[events.append])
        assert len(run.records) == 30
        assert server.count <= 3 * WINDOW  # a server that is not at home is left alone for a while
    asked = [e.birth for e in events if e.kind is Kind.PLANNED]
    unanswered = [i for i, e in enumerate(events) if "gave no answer" in e.detail]
    during = [e for e in events[: unanswered[0]] if e.kind is Kind.TOLD]
    assert asked
    assert len(during) >= 2  # told while the first request was still waiting
    copies = [record for record in run.records if "copied" in record.facts]
    assert {record.operator for record in copies} <= {"llm_edits", "llm_crossover", "llm_thought"}
    assert len(copies) == len(asked)
