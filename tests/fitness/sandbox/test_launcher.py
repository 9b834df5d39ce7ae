from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial

import pytest

from evolve.errors import IsolationError, WorkerError
from fitness.sandbox import Call, Level, Limits, launcher
from fitness.sandbox.server import started

CALL = Call({"m.py": "import os\ndef f(): return os.getpid()\n"}, "m:f")


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that reaches only the lowest level, and this process has no server yet."""
    monkeypatch.setattr(launcher, "started", partial(started, Level.PLAIN, warm=False))
    monkeypatch.setattr(launcher, "_shared", {})
    yield
    launcher.stop()


def test_one_server_serves_all_calls_and_is_replaced_when_it_dies() -> None:
    assert launcher.isolation().level is Level.PLAIN
    (server,) = launcher._shared.values()
    answers = [launcher.run(CALL) for _ in range(2)]
    assert [answer.error for answer in answers] == [None, None]
    assert launcher._shared[os.getpid()] is server
    os.kill(server.pid, signal.SIGKILL)
    os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
    assert launcher.run(CALL).error is None
    assert launcher._shared[os.getpid()] is not server


def test_less_than_required_runs_nothing() -> None:
    with pytest.raises(IsolationError, match="'full' is required"):
        launcher.run(CALL, require=Level.FULL)


def test_a_call_for_a_gpu_gets_its_own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fitness.sandbox.server._DEVICES", "no-such-device*")
    with pytest.raises(WorkerError, match="no /dev/nvidia"):
        launcher.run(Call(CALL.files, "m:f", limits=Limits(gpu=True)))
    monkeypatch.setattr("fitness.sandbox.server._DEVICES", "zero")
    assert launcher.run(Call(CALL.files, "m:f", limits=Limits(gpu=True))).error is None
    assert launcher._shared == {}
