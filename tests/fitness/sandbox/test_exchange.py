"""The launcher's side, against servers of the tests' own that forge whatever is to be seen."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from fitness.sandbox.call import Call, Limits
from fitness.sandbox.exchange import Exchange, judged

END = {"fault": "", "status": 0, "seconds": 0.1}
BOX = "/scratch/evolve-box-7-0f"
LIMITS = Limits(seconds=5, answer_bytes=1 << 20)
Serve = Callable[[socket.socket, int, int], None]


def outcome(serve: Serve, limits: Limits = LIMITS, starved: bool = False) -> tuple[Any, ...]:
    """(value, error, trace) of a call that `serve` (control, answer, output) deals with."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def work() -> None:
        _, fds, _, _ = socket.recv_fds(theirs, 1 << 16, 3)
        os.close(fds[0])
        serve(theirs, fds[1], fds[2])
        for fd in fds[1:]:
            os.close(fd)
        theirs.close()

    thread = threading.Thread(target=work)
    thread.start()
    exchange = Exchange(ours, Call({"m.py": ""}, "m:f", limits=limits), BOX)
    told = exchange.conclude()
    ours.close()
    thread.join()
    return judged(exchange, told, limits, starved)


def saying(data: bytes, **report: object) -> Serve:
    def serve(control: socket.socket, answer: int, output: int) -> None:
        os.write(answer, data)
        control.send(json.dumps({**END, **report}).encode())

    return serve


def test_a_value_and_an_error() -> None:
    assert outcome(saying(b"J[1, null]")) == ([1, None], None, "")
    failed = b'E{"kind": "exception", "text": "E: no", "trace": "line"}'
    assert outcome(saying(failed)) == (None, "exception: E: no", "line")


def test_the_directory_of_the_candidate_has_one_name() -> None:
    told = {"kind": "exception", "text": f"E: {BOX}/a", "trace": f"File {BOX}/m.py"}
    failed = b"E" + json.dumps(told).encode()
    assert outcome(saying(failed)) == (None, "exception: E: /box/a", "File /box/m.py")
    assert outcome(saying(b"J" + json.dumps(BOX).encode()))[0] == BOX  # a value is as it was


@pytest.mark.parametrize(
    ("data", "report", "error"),
    [
        (b"", {}, "invalid: exited with status 0 without an answer"),
        (b"J1", {"status": 256}, "invalid: exited with status 1 without an answer"),
        (b"J1", {"status": signal.SIGSEGV}, "crash: killed by SIGSEGV"),
        (b"", {"status": signal.SIGKILL, "seconds": 5.5}, "timeout: more than 5 s of processor"),
        (b"", {"status": signal.SIGKILL}, "crash: killed by SIGKILL"),
        (b"K", {}, "invalid: the answer begins with b'K'"),
    ],
)
def test_how_it_ended_comes_before_what_it_sent(
    data: bytes, report: dict[str, object], error: str
) -> None:
    value, said, trace = outcome(saying(data, **report))
    assert (value, trace) == (None, "")
    assert said.startswith(error)


def test_what_the_kernel_killed_for_memory() -> None:
    serve = saying(b"", status=int(signal.SIGKILL))
    assert outcome(serve, starved=True)[1] == f"out of memory: killed at {2 << 30} bytes"


def test_at_the_limit_the_server_is_told_to_kill() -> None:
    heard = []

    def serve(control: socket.socket, answer: int, output: int) -> None:
        heard.append(control.recv(100))
        control.send(json.dumps({**END, "status": int(signal.SIGKILL)}).encode())

    assert outcome(serve, Limits(seconds=0.05))[1] == "timeout: no answer after 0.05 s"
    assert heard == [b"kill"]


def test_an_answer_that_is_too_long_is_not_waited_for() -> None:
    def serve(control: socket.socket, answer: int, output: int) -> None:
        os.write(answer, b"J" + b"1" * 5000)
        assert control.recv(100) == b"kill"
        control.send(json.dumps(END).encode())

    error = outcome(serve, Limits(seconds=60, answer_bytes=4096))[1]
    assert error == "invalid: the answer is larger than 4096 bytes"


def test_a_server_that_ends_is_seen_at_once() -> None:
    error = outcome(lambda control, answer, output: None, Limits(seconds=60))[1]
    assert error == "crash: the sandbox's server ended during the call"
