"""What waits for a server runs in threads beside the driver; the rest goes to the workers inside.

So a slow or stalled language model holds no worker up, as long as the search's window has other
births: in ordered mode those a window later wait for it. Threads are daemons: a driver that ends
does not wait for them, and what they were asked for is planned in the ledger. They are held to no
limit of ours: an operator that waits keeps its own time. Knows no loop and no Ray.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field

from evolve.engine.workers import Outcome, Task, Workers, answered
from evolve.score import Needs

LOOK = 0.1  # seconds between looks at one side while the other has work


@dataclass
class Beside:
    """`inner` for what computes, at most `threads` of this process for what waits."""

    inner: Workers
    threads: int
    _aloft: int = 0  # tasks in threads
    _inside: int = 0  # tasks in workers
    _done: queue.SimpleQueue[Outcome] = field(default_factory=queue.SimpleQueue)

    @property
    def slots(self) -> int:
        return self.inner.slots

    def free(self, needs: Needs) -> int:
        return self.threads - self._aloft if needs.waits else self.inner.free(needs)

    def submit(self, task: Task) -> None:
        if not task.needs.waits:
            self._inside += 1
            self.inner.submit(task)
            return
        self._aloft += 1
        name = f"thread-{task.births[0]}"
        threading.Thread(target=self._run, args=(task, name), name=name, daemon=True).start()

    def wait(self, patience: float | None = None) -> list[Outcome]:
        if not self._aloft:
            return self._counted(self.inner.wait(patience))
        outcomes = self._landed(0.0 if self._inside else LOOK)
        return outcomes or self._counted(self.inner.wait(LOOK))

    def close(self) -> None:
        self.inner.close()

    def _run(self, task: Task, name: str) -> None:
        self._done.put(Outcome(task, answered((), task), name))

    def _landed(self, patience: float) -> list[Outcome]:
        """What the threads have done; waits `patience` seconds for the first."""
        found: list[Outcome] = []
        try:
            found.append(self._done.get(timeout=patience) if patience else self._done.get_nowait())
            while True:
                found.append(self._done.get_nowait())
        except queue.Empty:
            self._aloft -= len(found)
            return found

    def _counted(self, outcomes: list[Outcome]) -> list[Outcome]:
        # A late answer of a task that was given up is an outcome too, its second: see the fence.
        self._inside = max(0, self._inside - len(outcomes))
        return outcomes
