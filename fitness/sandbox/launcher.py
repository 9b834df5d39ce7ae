"""Starts the fork server, sends it calls, holds the clock, and kills. The trusted side.

`run` and `isolation` share one warm server a process: it is started on first use, again if it
has died, and stopped at exit; calls from several threads wait for each other. Knows what a call
is, not what it means.
"""

from __future__ import annotations

import atexit
import os
import threading

from fitness.sandbox.call import Answer, Call
from fitness.sandbox.isolation import Isolation, Level
from fitness.sandbox.server import Server, started

_lock = threading.RLock()
_shared: dict[int, Server] = {}  # by the process that started it: a fork starts its own


def run(call: Call, require: Level = Level.PLAIN) -> Answer:
    """Makes the call in the sandbox. What goes wrong in it is in `Answer.error`.

    Raises `IsolationError`, before anything runs, if this machine reaches less than `require`.
    """
    if call.limits.gpu:
        return _cold(call, require)
    with _lock:
        server = _server()
        server.isolation.meet(require)
        return server.run(call)


def isolation() -> Isolation:
    """What this machine reaches, by trying (starts the server). Raises `IsolationError`."""
    with _lock:
        return _server().isolation


def stop() -> None:
    """Ends this process's server; the next call starts another."""
    with _lock:
        server = _shared.pop(os.getpid(), None)
        if server is not None:
            server.stop()


def _server() -> Server:
    server = _shared.get(os.getpid())
    if server is None or not server.alive():
        if server is None:
            atexit.register(stop)
        else:
            server.stop()
        server = started()
        _shared[os.getpid()] = server
    return server


def _cold(call: Call, require: Level) -> Answer:
    """A call on a GPU: CUDA does not survive a fork, so that it gets a process of its own."""
    server = started(gpu=True)
    try:
        server.isolation.meet(require)
        return server.run(call)
    finally:
        server.stop()
