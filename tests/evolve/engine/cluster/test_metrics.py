"""Metrics: each event arrives in Ray with its tags, at a price of microseconds.

Plain Ray has no metrics agent, so nothing serves what it records: there the values are read
where they are handed to Ray's own objects. With `ray[default]` the last test reads them from
the agent, as Prometheus does.
"""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from typing import Any

import pytest

from evolve.engine.cluster.metrics import Metrics
from evolve.engine.events import Event, Kind

Tags = tuple[tuple[str, str], ...]


def story(experiment: str) -> Metrics:
    """Two workers, three births told, two failures, one late result, one quarantine."""
    metrics = Metrics(experiment)
    for worker in ("a", "b", "c"):
        metrics(Event(Kind.WORKER, worker=worker, detail="starting"))
        metrics(Event(Kind.WORKER, worker=worker, seconds=1.0, detail="ready"))
    metrics(Event(Kind.WORKER, worker="a", detail="busy"))
    metrics(Event(Kind.WORKER, worker="c", detail="dead: worker lost"))
    metrics(Event(Kind.QUEUE, count=5))
    for birth in range(3):
        metrics(Event(Kind.ANSWERED, birth, 1, 1, "a", 0.5, detail="scored"))
        metrics(Event(Kind.TOLD, birth))
    metrics(Event(Kind.ANSWERED, 3, 1, 1, "a", 4.0, detail="varied"))
    metrics(Event(Kind.FAILED, 3, 1, 1, "a", 2.0, detail="timeout in a batch: no answer: in 2 s"))
    metrics(Event(Kind.FAILED, 3, 2, 1, "a", 0.1, detail="exception: ValueError: x"))
    metrics(Event(Kind.FENCED, 3, 1, 1, "a", 9.0, detail="scored"))
    metrics(Event(Kind.QUARANTINED, 3, detail="timeout: no answer"))
    return metrics


class Recorded:
    """What was handed to Ray's metric objects: sums of counters, last values of gauges."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from ray.util import metrics

        self.values: dict[tuple[str, Tags], list[float]] = defaultdict(list)
        record = metrics.Metric._record

        def noted(metric: Any, value: float, tags: dict[str, str] | None = None) -> None:
            record(metric, value, tags)  # checks the tags, and gives the value to Ray
            every = tuple(sorted({**metric.info["default_tags"], **(tags or {})}.items()))
            self.values[metric.info["name"], every].append(value)

        monkeypatch.setattr(metrics.Metric, "_record", noted)

    def of(self, name: str, **tags: str) -> list[float]:
        return self.values[f"evolve_{name}", tuple(sorted({"experiment": "x", **tags}.items()))]


@pytest.mark.ray
def test_each_event_is_counted_with_its_tags(
    cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Recorded(monkeypatch)
    story("x").close()
    assert sum(seen.of("births_told")) == 3
    assert seen.of("attempts_failed", kind="timeout") == [1]
    assert seen.of("attempts_failed", kind="exception") == [1]
    assert seen.of("evaluation_seconds", outcome="scored") == [0.5, 0.5, 0.5]
    assert seen.of("evaluation_seconds", outcome="varied") == [4.0]
    assert seen.of("evaluation_seconds", outcome="timeout") == [2.0]
    assert seen.of("results_fenced") == [1]
    assert seen.of("genomes_quarantined") == [1]
    gauges = {"births_waiting", "workers_busy", "workers_ready", "utilisation"}
    others = [key for key in seen.values if key[0].removeprefix("evolve_") not in gauges]
    assert len(others) == 9, "nothing else, and no other tags"


@pytest.mark.ray
def test_gauges_are_set_anew_while_nothing_happens(
    cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evolve.engine.cluster.metrics.REFRESH", 0.02)
    seen = Recorded(monkeypatch)
    metrics = story("x")
    wanted = {"births_waiting": 5, "workers_busy": 1, "workers_ready": 1, "utilisation": 0.5}
    until = time.monotonic() + 30
    while seen.of("utilisation")[-3:] != [0.5] * 3 and time.monotonic() < until:
        time.sleep(0.02)
    metrics.close()
    assert {name: seen.of(name)[-1] for name in wanted} == wanted


@pytest.mark.ray
def test_no_worker_is_no_division_by_zero(cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Recorded(monkeypatch)
    metrics = Metrics("x")
    metrics(Event(Kind.QUEUE, count=4))
    until = time.monotonic() + 30
    while not seen.of("utilisation") and time.monotonic() < until:
        time.sleep(0.02)
    metrics.close()
    assert seen.of("births_waiting") == [4]
    assert seen.of("utilisation") == [0.0]


@pytest.mark.ray
def test_an_event_costs_microseconds(cluster: None) -> None:
    metrics = Metrics("cost")
    events = [
        Event(Kind.BORN, 1),
        Event(Kind.DISPATCHED, 1, 1),
        Event(Kind.WORKER, worker="a", detail="busy"),
        Event(Kind.QUEUE, count=3),
        Event(Kind.ANSWERED, 1, 1, 1, "a", 0.1, detail="scored"),
        Event(Kind.WORKER, worker="a", detail="ready"),
        Event(Kind.TOLD, 1),
    ]
    spent = []
    for _ in range(20):
        begun = time.process_time()
        for _ in range(100):
            for event in events:
                metrics(event)
        spent.append((time.process_time() - begun) / (100 * len(events)))
    metrics.close()
    assert min(spent) < 10e-6  # seconds an event


def test_without_ray_nothing_is_imported_and_nothing_fails() -> None:
    script = (
        "import sys\n"
        "from tests.evolve.engine.cluster.test_metrics import story\n"
        "story('x')\n"
        "sys.exit('ray' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.ray
def test_the_agent_serves_them(cluster: None) -> None:
    import ray

    nodes: Any = ray.nodes
    node = nodes()[0]
    if node["MetricsExportPort"] <= 0:
        pytest.skip('this Ray has no metrics agent; pip install "ray[default]" to run this')
    metrics = story("served")
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    wanted = {
        "ray_evolve_births_told_total": 3.0,
        "ray_evolve_births_waiting": 5.0,
        "ray_evolve_utilisation": 0.5,
        "ray_evolve_evaluation_seconds_count": 3.0,
        "ray_evolve_attempts_failed_total": 1.0,
    }
    found: dict[str, float] = {}
    until = time.monotonic() + 60
    while not wanted.items() <= found.items() and time.monotonic() < until:
        time.sleep(1)
        with urllib.request.urlopen(url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        ours = [line for line in lines if 'experiment="served"' in line]
        ours = [line for line in ours if "outcome=" not in line or 'outcome="scored"' in line]
        found = {line.partition("{")[0]: float(line.rpartition(" ")[2]) for line in ours}
    metrics.close()
    assert wanted.items() <= found.items(), found
