"""`evolve run --address` on a cluster of several nodes: one result, and our words only.

The nodes are raylets on this machine; the driver is the command itself, in a process of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import evolve
from experiments.dtlz import experiment
from tests.evolve.engine.kills import ROOT, scored

pytestmark = [pytest.mark.slow, pytest.mark.ray]

BIRTHS = 80
WORKERS = 4
SECONDS = 0.1  # an evaluation: long enough that a run has a middle

# Lies in a folder that no worker has on its path, with two modules beside it: evolve ships them.
FAR = f"""
from dataclasses import dataclass

import trace_of_worker
from evolve import Experiment, Needs, Objective
from near import problem, search

@dataclass(frozen=True)
class Far:
    objectives: tuple[Objective, ...] = problem.objectives
    rungs: tuple[int, ...] = problem.rungs
    needs: Needs = Needs()

    def evaluate(self, genomes, rung, seed):
        trace_of_worker.leave({SECONDS})
        return problem.evaluate(genomes, rung, seed)

experiment = Experiment("far", search, Far(), births={BIRTHS})
"""
TRACE = """
import os, time
from pathlib import Path

def leave(seconds):
    traces = Path(os.environ["TRACES"])
    (traces / f"{os.getppid()}").touch()  # a worker's parent is its raylet
    time.sleep(1.0 if (traces / "slow").exists() else seconds)
"""

OURS = re.compile(
    rf"far: {BIRTHS} births on {WORKERS} Ray workers, in .*"
    rf"|\d+/{BIRTHS} births · .*"
    rf"|{BIRTHS} births told, front of \d+, \d+ s"
    r"|\d+ births failed; .*"
    r"|The front is drawn in .*|No picture: .*|.*front\.png.*"
    r"|More: evolve show .*"
)


@dataclass(frozen=True)
class Nodes:
    """A cluster of a head and two nodes, two CPUs each, and the drivers that run on it."""

    cluster: Any
    traces: Path
    drivers: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add(self) -> None:
        self.cluster.add_node(num_cpus=2)

    def used(self) -> list[Any]:
        """The nodes but the head on which something was evaluated."""
        found = {path.name for path in self.traces.iterdir()}
        return [node for node in self.cluster.worker_nodes if str(raylet(node)) in found]

    def kill(self) -> None:
        """Kill a used node's raylet and workers, as if its power went."""
        self.cluster.remove_node(self.used()[0], allow_graceful=False)


def raylet(node: Any) -> int:
    (process,) = node.all_processes["raylet"]
    return int(process.process.pid)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """The head, and what is left of its nodes."""
    from ray.cluster_utils import Cluster

    traces = tmp_path_factory.mktemp("traces")
    quick = {  # a lost node is known in seconds, a busy one is not lost
        "health_check_initial_delay_ms": 1000,
        "health_check_period_ms": 500,
        "health_check_timeout_ms": 10_000,
        "health_check_failure_threshold": 3,
    }
    head = {"num_cpus": 2, "include_dashboard": False, "_system_config": quick}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACES", str(traces))  # raylets hand it on to their workers
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            yield Nodes(cluster, traces)
        finally:
            cluster.shutdown()


@pytest.fixture
def nodes(town: Nodes) -> Iterator[Nodes]:
    """Two nodes beside the head, on which nothing was evaluated yet."""
    for trace in town.traces.iterdir():
        trace.unlink()
    while len(town.cluster.worker_nodes) < 2:
        town.add()
    town.cluster.wait_for_nodes()  # until the deaths of others are known
    yield town
    for driver in town.drivers:
        driver.kill()
        driver.communicate()
    town.drivers.clear()


def command(nodes: Nodes, folder: Path) -> subprocess.Popen[str]:
    """`evolve run` from outside the repository, as a user types it."""
    (folder / "far.py").write_text(FAR)
    (folder / "trace_of_worker.py").write_text(TRACE)
    (folder / "near.py").write_text((ROOT / "experiments" / "dtlz.py").read_text())
    where = ["--address", nodes.address, "--workers", str(WORKERS), "--out", str(folder / "run")]
    process = subprocess.Popen(
        [sys.executable, "-m", "evolve.cli", "run", "far.py", *where],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    nodes.drivers.append(process)
    return process


def finished(process: subprocess.Popen[str]) -> None:
    """The command ends well, and its stdout holds nothing but our lines."""
    words, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    strange = [line for line in words.splitlines() if not OURS.fullmatch(line)]
    assert strange == []
    assert f"{BIRTHS} births told" in words


def until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not true():
        if process.poll() is not None:
            pytest.fail(f"ended too early: {process.communicate()}")
        time.sleep(0.02)


@pytest.fixture(scope="module")
def digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the same run in one process."""
    alone = replace(experiment, name="far", births=BIRTHS)
    return evolve.run(alone, tmp_path_factory.mktemp("alone") / "run").digest


def test_a_run_on_three_nodes_is_the_run_in_one_process(
    nodes: Nodes, tmp_path: Path, digest: str
) -> None:
    finished(command(nodes, tmp_path))
    run = evolve.load(tmp_path / "run")
    assert run.digest == digest
    assert nodes.used() != []  # two CPUs of the head do not hold four workers
    assert set(run.outcomes) == {"scored"}


def test_a_node_lost_in_the_middle_costs_attempts_and_no_result(
    nodes: Nodes, tmp_path: Path, digest: str
) -> None:
    process = command(nodes, tmp_path)
    out = tmp_path / "run"
    until(lambda: scored(out) > BIRTHS // 4 and nodes.used() != [], process)
    nodes.kill()
    assert scored(out) < BIRTHS, "killed too late to be in the middle"
    finished(process)
    run = evolve.load(out)
    assert run.digest == digest
    assert [record for record in run.records if record.score.error is not None] == []
    lost = sum(n for kind, n in run.outcomes.items() if kind in ("node lost", "worker lost"))
    assert 1 <= lost <= 2  # what flew on the node's two slots


def test_a_node_that_joins_in_the_middle_takes_the_place_of_lost_ones(
    nodes: Nodes, tmp_path: Path, digest: str
) -> None:
    process = command(nodes, tmp_path)
    out = tmp_path / "run"
    until(lambda: scored(out) > BIRTHS // 8 and nodes.used() != [], process)
    before = list(nodes.cluster.worker_nodes)
    (nodes.traces / "slow").touch()  # so that the run does not end before it is there
    nodes.add()
    for node in before:
        nodes.cluster.remove_node(node, allow_graceful=False)
    until(lambda: nodes.used() != [], process)
    (nodes.traces / "slow").unlink()
    finished(process)
    assert evolve.load(out).digest == digest
