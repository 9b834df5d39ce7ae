"""Workers of several needs on a cluster that holds one kind at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.evolve.engine.kills import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.ray]

# Two processors: two workers of the fitness, or one of the final test.
SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
from ray.cluster_utils import Cluster
import evolve
from evolve import Final, Needs
from fitness.problems import Problem, dtlz2
from tests.evolve.engine.problems import dtlz

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
final = Final(Problem(dtlz2, 3, needs=Needs(cpus=2.0)))
out = Path(sys.argv[1])
run = evolve.run(replace(dtlz(24), final=final), out, workers=2, address=cluster.address)
print(len(run.records), len(run.final), all(row.test.error is None for row in run.final))
final = Final(Problem(dtlz2, 3, needs=Needs(cpus=3.0)))
try:
    evolve.run(replace(dtlz(24), final=final), out / "no", workers=2, address=cluster.address)
except evolve.EvolveError as error:
    print(error)
import ray
ray.shutdown()
cluster.shutdown()
"""


def test_workers_make_room_for_those_that_are_wanted(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "run")], cwd=tmp_path, capture_output=True,
        text=True, timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    served, refused = done.stdout.splitlines()
    assert served == "24 4 True"
    assert "A worker needs 3 CPU; no node of the cluster has that (at most 2 CPU)" in refused
    assert not (tmp_path / "run" / "no" / "ledger.sqlite").exists()
