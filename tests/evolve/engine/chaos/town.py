"""A cluster in a process of its own: its nodes come, freeze, thaw and die on demand.

    python -m tests.evolve.engine.chaos.town SETTINGS

reads `add` and `kill NODE` line by line and answers each with all nodes as JSON; it ends with its
stdin. `Town` is its other end. The head has no processors: workers live on the other nodes. Knows
nothing of evolve.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.evolve.engine.kills import ROOT

CPUS = 2  # a node
STORE = 80_000_000  # bytes; the smallest that Ray takes
Limits = Mapping[str, float | int]


def health(period: float, timeout: float, misses: int) -> Limits:
    """Ray's settings: a node is lost after `misses` questions without an answer, in seconds."""
    return {
        "health_check_initial_delay_ms": 1000,
        "health_check_period_ms": int(period * 1000),
        "health_check_timeout_ms": int(timeout * 1000),
        "health_check_failure_threshold": misses,
    }


PATIENT = health(0.3, 20.0, 3)  # a dead node is known in about a second; a busy one never is
ALERT = health(0.3, 2.0, 3)  # a frozen node is known in about seven seconds


@dataclass(frozen=True)
class Node:
    """One raylet; its workers are its children."""

    name: str
    raylet: int

    def workers(self) -> list[int]:
        """Its processes in which an evaluator lives, or is being made."""
        return [pid for pid in self.children() if _title(pid).startswith("ray::Evaluator")]

    def children(self) -> list[int]:
        """All that it started itself."""
        with suppress(OSError):
            text = Path(f"/proc/{self.raylet}/task/{self.raylet}/children").read_text()
            own = [int(pid) for pid in text.split()]
            others = [pid for pid in _processes() if _parent(pid) == self.raylet]
            return sorted({*own, *others})
        return []

    def freeze(self) -> None:
        """Stop it and all its workers, as a machine that hangs."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let what was frozen go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for pid in [self.raylet, *self.children()]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


class Town:
    """The hold on a cluster in another process."""

    def __init__(self, nodes: int, limits: Limits) -> None:
        settings = json.dumps({"nodes": nodes, "limits": dict(limits)})
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.evolve.engine.chaos.town", settings],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, bufsize=1, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._asked = 0  # answers still to come
        self.address, self.gcs, self.nodes = "", 0, list[Node]()
        self._ears = threading.Thread(target=self._listen, daemon=True)
        self._ears.start()
        self._asked += 1
        self.settle(180.0)

    def add(self) -> None:
        """A node more, when it has started; `settle` to wait for it."""
        self._say("add")

    def kill(self, node: Node) -> None:
        """The node is gone at once; what its workers do goes on until they see it."""
        self._say(f"kill {node.name}")
        self.settle()

    def settle(self, patience: float = 60.0) -> None:
        """Wait until all that was asked has happened."""
        while self._asked:
            self._take(self._answers.get(timeout=patience))

    def look(self) -> None:
        """Take note of what has happened by now."""
        while not self._answers.empty():
            self._take(self._answers.get())

    @property
    def coming(self) -> int:
        """Nodes that were asked for and are not there yet."""
        return self._asked

    def end(self) -> None:
        """Take all of it down."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(60.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._ears.join()
        self._process.stdout.close()

    def _say(self, words: str) -> None:
        assert self._process.stdin is not None
        self._asked += 1
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith('{"address"'):
                self._answers.put(json.loads(line))
        self._answers.put(None)

    def _take(self, answer: dict[str, Any] | None) -> None:
        assert answer is not None, "the town's process has ended by itself"
        self._asked -= 1
        self.address, self.gcs = answer["address"], answer["gcs"]
        self.nodes = [Node(**each) for each in answer["nodes"]]


@contextmanager
def town(nodes: int = 2, limits: Limits = PATIENT) -> Iterator[Town]:
    """A cluster of a head and `nodes` nodes of two processors, and its end."""
    made = Town(nodes, limits)
    try:
        yield made
    finally:
        made.end()


def serve(nodes: int, limits: Limits) -> None:
    """Hold a cluster until stdin ends."""
    from ray.cluster_utils import Cluster

    head = {
        "num_cpus": 0,
        "include_dashboard": False,
        "object_store_memory": STORE,
        "_system_config": dict(limits),
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    known: dict[str, Any] = {}
    made = 0

    def add() -> None:
        nonlocal made
        made += 1
        known[f"n{made}"] = cluster.add_node(num_cpus=CPUS, object_store_memory=STORE)

    def answer() -> None:
        (gcs,) = cluster.head_node.all_processes["gcs_server"]
        there = [{"name": name, "raylet": _raylet(node)} for name, node in known.items()]
        facts = {"address": cluster.address, "gcs": gcs.process.pid, "nodes": there}
        print(json.dumps(facts), flush=True)

    try:
        for _ in range(nodes):
            add()
        answer()
        for line in sys.stdin:
            what, _, name = line.strip().partition(" ")
            if what == "add":
                add()
            else:
                cluster.remove_node(known.pop(name), allow_graceful=False)
            answer()
    finally:
        cluster.shutdown()


def _raylet(node: Any) -> int:
    (raylet,) = node.all_processes["raylet"]
    return int(raylet.process.pid)


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _title(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return ""


if __name__ == "__main__":
    serve(**json.loads(sys.argv[1]))
