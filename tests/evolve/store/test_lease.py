"""One writer a run: by the kernel's lock on one host, by a heartbeat between hosts."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evolve.errors import StoreError
from evolve.store import lease
from evolve.store.lease import BEAT, EXPIRED, LOCK, Lease, here

REPOSITORY = Path(__file__).resolve().parents[3]
HOLD = """
import sys
from pathlib import Path
from evolve.store.lease import Lease
held = Lease.take(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lease of `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, text=True,
        stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def aged(folder: Path, seconds: float) -> None:
    """Let the last heartbeat be `seconds` ago."""
    then = time.time() - seconds
    os.utime(folder / LOCK, (then, then))


def test_a_live_holder_is_named_and_a_killed_one_is_forgotten(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(StoreError, match=rf"live run \(process {holder.pid} on .*\); wait for it"):
        Lease.take(tmp_path)
    holder.kill()
    holder.wait()
    Lease.take(tmp_path).release()


def test_a_frozen_holder_on_this_host_keeps_it_however_old_its_heartbeat(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    holder.send_signal(signal.SIGSTOP)
    aged(tmp_path, 10 * EXPIRED)
    with pytest.raises(StoreError, match=rf"live run \(process {holder.pid} on"):
        Lease.take(tmp_path)


def test_what_was_released_is_free_at_once_for_everyone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for host in ("one", "two"):
        monkeypatch.setattr(lease, "here", lambda host=host: host)
        Lease.take(tmp_path).release()
    assert (tmp_path / LOCK).read_text() == ""


def deaf(file: object, how: int) -> None:
    """flock on a file system that does not carry it to other hosts."""


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lease]:
    """The lease of `tmp_path`, held on another host; `here` is not that host."""
    monkeypatch.setattr(fcntl, "flock", deaf)
    monkeypatch.setattr(lease, "here", lambda: "the other boot")
    held = Lease.take(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(fcntl, "flock", deaf)
    yield held
    held.release()


def test_another_host_waits_until_the_heartbeat_has_expired(
    tmp_path: Path, elsewhere: Lease
) -> None:
    aged(tmp_path, EXPIRED / 2)
    words = rf"run on another host \(process {os.getpid()} on .*\).*wait (29|30) s and try again"
    with pytest.raises(StoreError, match=words):
        Lease.take(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [LOCK], "the probe is gone"
    aged(tmp_path, EXPIRED + 1)
    ours = Lease.take(tmp_path)
    assert here() in (tmp_path / LOCK).read_text()
    ours.release()


def test_who_was_taken_over_from_keeps_no_heart_and_releases_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.01)
    held = Lease.take(tmp_path)
    (tmp_path / LOCK).write_text("process 7 on elsewhere\nanother boot")
    held._heart.join(30)
    assert not held._heart.is_alive()
    held.release()
    assert (tmp_path / LOCK).read_text() == "process 7 on elsewhere\nanother boot"


def test_the_heart_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.01)
    held = Lease.take(tmp_path)
    aged(tmp_path, EXPIRED)
    deadline = time.monotonic() + 30
    while (tmp_path / LOCK).stat().st_mtime < time.time() - EXPIRED / 2:
        assert time.monotonic() < deadline, "no heartbeat"
        time.sleep(0.01)
    held.release()
    assert BEAT < EXPIRED / 4, "a few beats may be missed"


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Cannot write to the run directory"):
        Lease.take(tmp_path / "missing")


def test_a_lease_that_was_forgotten_is_free(tmp_path: Path) -> None:
    held = Lease.take(tmp_path)
    heart = held._heart
    held._file.close()  # what the end of its last reference does, with a warning
    del held
    heart.join(30)
    assert not heart.is_alive()
    Lease.take(tmp_path).release()
