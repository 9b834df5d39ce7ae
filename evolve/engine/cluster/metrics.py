"""The run as Ray metrics, for Prometheus and Grafana. Knows only events.

Ray serves them under `ray_` + the name (a counter also ends in `_total`), each with the tag
`experiment`. Births a second: `rate(ray_evolve_births_told_total[1m])`. Only a Ray with its
metrics agent serves them (`pip install "ray[default]"`; the images for clusters have it);
without one they are recorded, and nobody can ask for them.

What Ray 2.60 does with them: the agent gets new values every 10 s; a gauge that was not set for
20 to 30 s is gone, so a thread sets them anew while the driver waits; the sum of a histogram is
that of its buckets' middles, so a mean of seconds is rough, and a count is exact.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from typing import Any

from evolve.engine.events import Event, Kind
from evolve.engine.states import WorkerState
from evolve.failure import kind_of_error

REFRESH = 5.0  # seconds between two settings of the gauges
BOUNDARIES = [0.001 * 2**i for i in range(23)]  # seconds: a millisecond to more than an hour

READY, BUSY, DEAD = (s.value for s in (WorkerState.READY, WorkerState.BUSY, WorkerState.DEAD))


class Metrics:
    """An observer that counts; what happens before Ray is connected is not counted."""

    def __init__(self, experiment: str) -> None:
        self._experiment = experiment
        self._meters: _Meters | None = None
        self._waiting = 0  # births
        self._states: dict[str, str] = {}  # of living workers
        self._workers: Counter[str] = Counter()  # by state: a thousand are too many to count anew
        self._closed = threading.Event()

    def __call__(self, event: Event) -> None:
        kind = event.kind
        if kind is Kind.QUEUE:
            self._waiting = event.count or 0
        elif kind is Kind.WORKER:
            self._moved(event.worker, event.detail.partition(":")[0])
        meters = self._meters
        if meters is None:
            if self._closed.is_set() or not _connected():
                return
            meters = self._meters = _Meters(self._experiment)
            threading.Thread(target=self._refresh, args=(meters,), daemon=True).start()
        if kind is Kind.TOLD:
            meters.told.inc()
        elif kind is Kind.ANSWERED or kind is Kind.FAILED:
            meters.ended(event)
        elif kind is Kind.FENCED:
            meters.fenced.inc()
        elif kind is Kind.QUARANTINED:
            meters.quarantined.inc()

    def close(self) -> None:
        """Stop setting the gauges; call it before Ray is left."""
        self._closed.set()

    def _refresh(self, meters: _Meters) -> None:
        while _connected():
            meters.now(self._waiting, self._workers[BUSY], self._workers[READY])
            if self._closed.wait(REFRESH):
                return

    def _moved(self, worker: str, state: str) -> None:
        before = self._states.pop(worker, None)
        if before is not None:
            self._workers[before] -= 1
        if state != DEAD:
            self._states[worker] = state
            self._workers[state] += 1


class _Meters:
    """Ray's metric objects of one experiment."""

    def __init__(self, experiment: str) -> None:
        from ray.util import metrics

        def counter(name: str, what: str, *tags: str) -> Any:
            made: Any = metrics.Counter(f"evolve_{name}", what, ("experiment", *tags))
            return made.set_default_tags({"experiment": experiment})

        def gauge(name: str, what: str) -> Any:
            made: Any = metrics.Gauge(f"evolve_{name}", what, ("experiment",))
            return made.set_default_tags({"experiment": experiment})

        self.told = counter("births_told", "Births whose score was told to the search.")
        self.failed = counter("attempts_failed", "Attempts that failed, by kind.", "kind")
        self.fenced = counter("results_fenced", "Results that came too late and were refused.")
        self.quarantined = counter("genomes_quarantined", "Genomes that workers do not survive.")
        seconds: Any = metrics.Histogram(
            "evolve_evaluation_seconds", "Seconds of an attempt, a birth.", BOUNDARIES,
            ("experiment", "outcome"),
        )  # fmt: skip
        self._seconds = seconds.set_default_tags({"experiment": experiment})
        self._waiting = gauge("births_waiting", "Births that wait for a worker.")
        self._busy = gauge("workers_busy", "Workers that evaluate or vary.")
        self._ready = gauge("workers_ready", "Workers with nothing to do.")
        self._utilisation = gauge("utilisation", "Busy workers as a part of busy and ready ones.")

    def ended(self, event: Event) -> None:
        """Count an attempt that ended."""
        outcome = "varied" if event.detail == "varied" else "scored"
        if event.kind is Kind.FAILED:
            words = event.detail.partition(":")[0]
            outcome = kind_of_error(words.removesuffix(" in a batch")).value
            self.failed.inc(tags={"kind": outcome})
        if event.seconds is not None:
            self._seconds.observe(event.seconds, {"outcome": outcome})

    def now(self, waiting: int, busy: int, ready: int) -> None:
        """Show how many births wait and what the workers do."""
        self._waiting.set(waiting)
        self._busy.set(busy)
        self._ready.set(ready)
        self._utilisation.set(busy / max(1, busy + ready))


def _connected() -> bool:
    """Whether this process has a Ray to talk to; imports nothing."""
    ray: Any = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())
