"""Word of evaluations that ended, beside Ray: so that a late result is seen to be refused.

When a node freezes and thaws, Ray has long declared it dead, yet its workers finish what they do
(facts/engine.md, b) and Ray drops their answers. A worker therefore also sends one datagram when
a long evaluation ends; the driver heeds only those of attempts that it gave up. Lost letters
change nothing: the fence is the ledger's.
"""

from __future__ import annotations

import json
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass

from evolve.engine.workers import Answer, Outcome, Task

LONG = 0.5  # seconds from which an evaluation is worth a letter
KEPT = 1_000  # attempts given up that are still listened for


@dataclass(frozen=True)
class Address:
    """Where letters of one run go."""

    host: str
    port: int
    token: str


class Letters:
    """The driver's letter box."""

    def __init__(self, host: str) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.bind((host, 0))
        except OSError:  # Ray's name for this node is none of its own: listen everywhere
            self._socket.bind(("", 0))
        self.address = Address(host, self._socket.getsockname()[1], secrets.token_hex(8))
        self._expected: dict[str, tuple[Task, str]] = {}

    @property
    def awaited(self) -> bool:
        """Whether an attempt was given up whose late result may come."""
        return bool(self._expected)

    def expect(self, task: Task, worker: str) -> None:
        """`task` was given up; what `worker` makes of it comes late, if it comes."""
        self._expected[_name(task, worker)] = (task, worker)
        while len(self._expected) > KEPT:
            del self._expected[next(iter(self._expected))]

    def arrived(self) -> list[Outcome]:
        """Late results of attempts given up, each once."""
        outcomes = []
        with suppress(BlockingIOError):
            while True:
                token, _, rest = self._socket.recv(512).decode(errors="replace").partition(" ")
                name, _, seconds = rest.rpartition(" ")
                if token == self.address.token and name in self._expected:
                    task, worker = self._expected.pop(name)
                    outcomes.append(Outcome(task, Answer(seconds=float(seconds)), worker))
        return outcomes

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


def post(address: Address, task: Task, worker: str, seconds: float) -> None:
    """Send word that `worker` has ended `task`, if it took long. Never fails."""
    if seconds < LONG:
        return
    words = f"{address.token} {_name(task, worker)} {seconds:.3f}"
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(words.encode(), (address.host, address.port))


def _name(task: Task, worker: str) -> str:
    """What tells this attempt from every other of the run."""
    return json.dumps([worker, task.epoch, task.births[0], task.attempts[0]])
