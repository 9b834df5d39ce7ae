"""One server after the other, for real; hostile calls are in `test_attacks.py`."""

from __future__ import annotations

import ctypes
import math
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evolve.errors import IsolationError, WorkerError
from fitness.sandbox import Answer, Call, Level, Limits, cgroup, server
from fitness.sandbox.server import Server, started
from tests.fitness.sandbox.conftest import Servers


def asked(server: Server, body: str, **limits: float) -> Answer:
    call = Call({"m.py": body}, "m:f", limits=Limits(**{"seconds": 30, **limits}))  # type: ignore[arg-type]
    return server.run(call)


@pytest.fixture
def full(servers: Servers) -> Server:
    return servers("full (root)")


def test_arrays_go_in_and_come_out(full: Server) -> None:
    arrays = {
        "x": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "mask": np.array([True, False]),
        "empty": np.zeros((0, 2)),
        "scalar": np.array(3, np.int16),
    }
    source = "def f(k, **arrays):\n    arrays['x'] *= k\n    return arrays\n"
    answer = full.run(Call({"m.py": source}, "m:f", arrays, {"k": 2}, Limits(seconds=30)))
    assert answer.error is None
    assert isinstance(answer.value, dict)
    assert set(answer.value) == set(arrays)
    np.testing.assert_array_equal(answer.value["x"], 2 * arrays["x"])
    for name, array in arrays.items():
        found = answer.value[name]
        assert isinstance(found, np.ndarray)
        assert (found.shape, found.dtype) == (array.shape, array.dtype)
    assert arrays["x"][2, 1] == 5  # it wrote into a copy


def test_numbers_that_are_none_come_back_as_numbers(full: Server) -> None:
    answer = asked(full, "def f(): return {'accuracy': float('nan'), 'loss': float('inf')}")
    assert answer.error is None
    assert isinstance(answer.value, dict)
    assert math.isnan(float(str(answer.value["accuracy"])))
    assert answer.value["loss"] == math.inf


def test_an_exception_names_its_file_and_line(full: Server) -> None:
    answer = asked(full, "def g():\n    raise ValueError('no')\ndef f():\n    g()\n")
    assert answer.error == "exception: ValueError: no"
    lines = answer.trace.splitlines()
    assert lines[1].endswith('m.py", line 4, in f')
    assert lines[3].endswith('m.py", line 2, in g')
    assert "inside" not in answer.trace
    broken = asked(full, "def f(:\n    pass\n")
    assert str(broken.error).startswith("exception: SyntaxError")
    assert 'm.py", line 1' in broken.trace


@pytest.mark.parametrize("column", ["full (root)", "root without namespaces", "plain user"])
def test_the_same_call_says_the_same_at_every_level(column: str, servers: Servers) -> None:
    body = """import os, tempfile, warnings
def f():
    warnings.warn("careful")
    print(os.getcwd(), tempfile.gettempdir())
    open(os.path.join(os.getcwd(), "nothing"))
"""
    first, second = (asked(servers(column), body) for _ in range(2))
    said = (first.error, first.trace, first.output)
    assert said == (second.error, second.trace, second.output)
    assert said[0] == (
        "exception: FileNotFoundError: [Errno 2] No such file or directory: '/box/nothing'"
    )
    assert 'File "/box/m.py", line 5, in f' in first.trace
    assert first.output.splitlines()[0] == "/box/m.py:3: UserWarning: careful"
    assert "/box /box" in first.output
    assert "evolve-box" not in "".join(map(str, said))


def test_what_it_printed_and_how_it_crashed(full: Server) -> None:
    body = "import ctypes, os\ndef f():\n    os.write(2, b'before')\n    ctypes.string_at(0)\n"
    answer = asked(full, body)
    assert (answer.error, answer.output) == ("crash: killed by SIGSEGV", "before")


def test_it_has_one_thread_and_is_warm(full: Server) -> None:
    assert full.n_threads == 1
    body = "import sys\ndef f(): return [n in sys.modules for n in ('torch._dynamo', 'scipy')]"
    assert asked(full, body).value == [True, True]


def test_torch_learns_inside(full: Server) -> None:
    body = """
import torch
def f():
    model = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    x = torch.randn(64, 2)
    y = x[:, :1] * x[:, 1:]
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    losses = []
    for _ in range(100):
        optimiser.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    return [losses[0], losses[-1]]
"""
    answers = [asked(full, body) for _ in range(2)]
    first, last = np.asarray(answers[0].value)
    assert last < first / 2
    assert answers[0].value == answers[1].value  # code that seeds nothing repeats itself


def test_candidates_end_with_their_launcher(tmp_path: Path) -> None:
    """Its socket's end is the server's."""
    script = """
import sys
from fitness.sandbox import Call, Limits
from fitness.sandbox.server import started
server = started(warm=False)
print(server.pid, flush=True)
server.run(Call({"m.py": "import time\\ndef f(): time.sleep(600)"}, "m:f",
                limits=Limits(seconds=600)))
"""
    command = [sys.executable, "-c", script]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    launcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert launcher.stdout is not None
    ended = os.pidfd_open(int(launcher.stdout.readline()))
    launcher.kill()
    launcher.communicate()
    assert select.select([ended], [], [], 30)[0]
    os.close(ended)
    group = cgroup.make()  # which removes what the launcher could not
    if group:
        group.remove()


def test_what_a_killed_launcher_left_is_removed_a_day_later(tmp_path: Path) -> None:
    dead, alive = 999999999, os.getpid()
    names = [f"evolve-box-{dead}-a", f"evolve-sandbox-{dead}-b", f"evolve-box-{alive}-c"]
    for name in [*names, f"evolve-sandbox-{dead}-new", "evolve-box-mine"]:
        (tmp_path / name / "inner").mkdir(parents=True)
    for name in [*names, "evolve-box-mine"]:
        os.utime(tmp_path / name, (0, 0))
    server._tidy(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"evolve-box-{alive}-c", f"evolve-sandbox-{dead}-new", "evolve-box-mine"}


def test_a_lower_level_is_taken_where_it_is_asked_for() -> None:
    with_ceiling = started(Level.PLAIN, warm=False)
    try:
        assert with_ceiling.isolation.level is Level.PLAIN
        assert asked(with_ceiling, "def f(): return 1").value == 1
    finally:
        with_ceiling.stop()
    assert not with_ceiling.alive()


def test_a_machine_that_refuses_says_what(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where namespaces are not permitted: the next level is tried, with the reason kept."""
    settled = Server.settled

    def refusing(self: Server, below: tuple[str, ...]) -> str:
        fault = settled(self, below)
        return "unshare: Operation not permitted" if self.level > Level.PLAIN else fault

    monkeypatch.setattr(Server, "settled", refusing)
    reached = started(warm=False)
    try:
        assert reached.isolation.level is Level.PLAIN
        assert reached.isolation.below == (
            "full: unshare: Operation not permitted",
            "other-user: unshare: Operation not permitted",
        )
    finally:
        reached.stop()
    monkeypatch.setattr(Server, "settled", lambda self, below: "refused")
    with pytest.raises(IsolationError, match="full: refused; other-user: refused; plain: refused"):
        started(warm=False)


def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_BOOT", "raise ImportError('No module named torch')")
    with pytest.raises(IsolationError, match="plain: its server did not start: ImportError: No m"):
        started(warm=False)


def test_a_gpu_that_is_not_there_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_DEVICES", "no-such-device*")
    with pytest.raises(WorkerError, match="no /dev/nvidia"):
        started(gpu=True)


def test_the_way_of_a_gpu_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real code with another device: it is seen, and so are /proc and /sys."""
    monkeypatch.setattr(server, "_DEVICES", "zero")
    cold = started(gpu=True)
    try:
        body = """
import os, resource
def f():
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return [os.path.exists(p) for p in ("/dev/zero", "/proc/self/maps", "/sys/class")] + [limit]
"""
        assert asked(cold, body).value == [True, True, True, -1]
    finally:
        cold.stop()


def test_a_server_that_was_killed_is_reported() -> None:
    lost = started(Level.PLAIN, warm=False)
    os.kill(lost.pid, signal.SIGKILL)
    answer = asked(lost, "def f(): return 1")
    assert answer.error == "crash: the sandbox's server ended during the call"
    assert not lost.alive()
    lost.stop()


def test_a_launcher_is_hidden_from_candidates_of_its_user(full: Server) -> None:
    """Else they could read its environment and its memory in /proc."""
    assert full.alive()
    assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 0  # PR_GET_DUMPABLE
