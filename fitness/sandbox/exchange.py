"""One call on its way: the request out, the answer and the output in, a clock, a verdict.

The server forks and reports; this side reads no more than it allowed, and says "kill" at the
limit. Knows no start and no stop of a server.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import select
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np

from evolve.genome import Json
from fitness.sandbox import answers
from fitness.sandbox.call import Call, Limits
from fitness.sandbox.output import Output, forms, renamed

_MESSAGE = 1 << 16  # bytes: of the server's messages
_GRACE = 5.0  # seconds that the server has to report a candidate it was told to kill
_PIPE = 1 << 20  # bytes
_LENGTH, _ALIGNED = 8, 64  # of the request's head, as inside/answering.py reads it
_SEAL, _SEALS = 1033, 1 | 2 | 4 | 8  # F_ADD_SEALS: no seal, size or byte changes any more


class Exchange:
    """One call with one server, in `conclude`; then `answer`, `output` and how it ended."""

    def __init__(self, control: socket.socket, call: Call, box: str) -> None:
        """box: the candidate's directory, which no text that comes out of the call names."""
        self.boxes = forms(box)
        self.output = Output(call.limits.output_bytes, self.boxes)
        self.answer = bytearray()
        self.overlong = self.late = False
        self._limits = call.limits
        self._control = control
        request = _request(call)
        self._answers, theirs = _pipe()
        self._outputs, out = _pipe()
        self._until = math.inf
        names = ("seconds", "memory", "file_bytes")
        limits = {"box": box} | {name: vars(call.limits)[name] for name in names}
        fds = [request, theirs, out]
        with suppress(BrokenPipeError, ConnectionResetError):  # its end is seen in `conclude`
            socket.send_fds(control, [json.dumps(limits).encode()], fds)
        for fd in fds:
            os.close(fd)

    def conclude(self) -> Mapping[str, Any] | None:
        """What the server reports when the candidate has ended; None if the server ended."""
        poll = select.poll()
        for fd in (self._control.fileno(), self._answers, self._outputs):
            poll.register(fd, select.POLLIN)
        deadline = time.monotonic() + self._limits.seconds
        told = None
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                if self._until < math.inf:
                    break  # it was told, and did not report
                self.late = True
                deadline = self._kill()
                continue
            ready = [fd for fd, _ in poll.poll(1000 * left)]
            for fd in (self._answers, self._outputs):
                if fd in ready and not self._take(fd):
                    poll.unregister(fd)
            if self.overlong and self._until == math.inf:
                deadline = self._kill()
            if self._control.fileno() in ready:
                told = received(self._control)
                break
        for fd in (self._answers, self._outputs):
            while self._ready(fd) and self._take(fd):  # what the ended candidate left in it
                pass
            os.close(fd)
        return told

    def _kill(self) -> float:
        """Asks for the candidate's end; returns until when to wait for it."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._control.send(b"kill")
        self._until = time.monotonic() + _GRACE
        return self._until

    def _take(self, fd: int) -> bool:
        """Reads what is there, False at the end."""
        data = os.read(fd, _PIPE)
        if fd == self._outputs:
            self.output.add(data)
        else:
            self.answer += data[: self._limits.answer_bytes + 1 - len(self.answer)]
            self.overlong = len(self.answer) > self._limits.answer_bytes
        return bool(data)

    def _ready(self, fd: int) -> bool:
        return bool(select.select([fd], [], [], 0)[0])


Value: TypeAlias = "Json | Mapping[str, np.ndarray]"


def judged(
    exchange: Exchange, told: Mapping[str, Any] | None, limits: Limits, starved: bool
) -> tuple[Value, str | None, str]:
    """The value, the error and the trace of a call that has ended.

    told: the server's report, None if it ended too. starved: the kernel killed for memory.
    """
    if error := _ended(exchange, told, limits, starved):
        return None, error, ""
    try:
        value = answers.read(bytes(exchange.answer), limits.answer_bytes, exchange.boxes)
    except answers.Unreadable as unreadable:
        return None, renamed(f"invalid: {unreadable}", exchange.boxes), ""
    if isinstance(value, answers.Failed):
        return None, f"{value.kind}: {value.text}", value.trace
    return value, None, ""


def _ended(
    exchange: Exchange, told: Mapping[str, Any] | None, limits: Limits, starved: bool
) -> str | None:
    """The error of a call that did not end by answering."""
    if exchange.late:
        return f"timeout: no answer after {limits.seconds:g} s"
    if exchange.overlong:
        return f"invalid: the answer is larger than {limits.answer_bytes} bytes"
    if starved:
        return f"out of memory: killed at {limits.memory} bytes"
    if told is None:
        return "crash: the sandbox's server ended during the call"
    code = os.waitstatus_to_exitcode(told["status"])
    if code in (-signal.SIGKILL, -signal.SIGXCPU) and told["seconds"] > limits.seconds:
        return f"timeout: more than {limits.seconds:g} s of processor time"
    if code < 0:
        return f"crash: killed by {signal.Signals(-code).name}"
    if code or not exchange.answer:
        return f"invalid: exited with status {code} without an answer"
    return None


def received(control: socket.socket) -> dict[str, Any] | None:
    """The server's message; None if it ended."""
    try:
        message = control.recv(_MESSAGE)
    except ConnectionResetError:
        return None
    told: dict[str, Any] | None = json.loads(message) if message else None
    return told


def _pipe() -> tuple[int, int]:
    mine, theirs = os.pipe()
    with suppress(OSError):  # this user has too many large ones
        fcntl.fcntl(mine, fcntl.F_SETPIPE_SZ, _PIPE)
    return mine, theirs


def _request(call: Call) -> int:
    """A file in memory that nobody can change: its JSON's length, JSON, arrays byte by byte."""
    arrays = {name: np.ascontiguousarray(array) for name, array in call.arrays.items()}
    described: dict[str, Any] = {
        "files": dict(call.files), "function": call.function, "values": dict(call.values)
    }  # fmt: skip
    # the offsets are a part of the JSON before them, so that room is left for it
    table: dict[str, list[Any]] = {
        name: [array.dtype.str, call.arrays[name].shape, 0] for name, array in arrays.items()
    }
    described["arrays"] = table
    start = offset = _aligned(_LENGTH + len(json.dumps(described)) + 20 * len(table))
    for name, array in arrays.items():
        table[name][2] = offset
        offset = _aligned(offset + array.nbytes)
    head = json.dumps(described).encode()
    fd = os.memfd_create("call", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.truncate(fd, max(offset, start + 1))
    _write(fd, len(head).to_bytes(_LENGTH, "little") + head, 0)
    for name, array in arrays.items():
        _write(fd, array.reshape(-1).view(np.uint8).data, table[name][2])
    fcntl.fcntl(fd, _SEAL, _SEALS)
    return fd


def _aligned(n: int) -> int:
    return -(-n // _ALIGNED) * _ALIGNED


def _write(fd: int, data: bytes | memoryview, offset: int) -> None:
    view = memoryview(data)
    while view:
        n = os.pwrite(fd, view, offset)
        view, offset = view[n:], offset + n
