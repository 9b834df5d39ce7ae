"""A node where another `operators` shadows ours: its workers are refused, with the folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.evolve.engine.kills import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.ray]

# In a process of its own, so that the session's cluster is left alone.
SCRIPT = """
import os, sys
from pathlib import Path
from ray.cluster_utils import Cluster
import evolve
from tests.evolve.engine.problems import dtlz

shadow = Path(sys.argv[1]) / "shadow"
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
path = os.environ["PYTHONPATH"]
os.environ["PYTHONPATH"] = f"{shadow}:{path}"  # of this node's processes only
shadowed = cluster.add_node(num_cpus=1)
os.environ["PYTHONPATH"] = path
try:
    evolve.run(dtlz(20), Path(sys.argv[1]) / "run", workers=1, address=cluster.address)
except evolve.EvolveError as error:
    print(error)
os.environ["PYTHONPATH"] = path
cluster.add_node(num_cpus=1)
cluster.remove_node(shadowed)
cluster.wait_for_nodes()  # until its death is known
run = evolve.run(dtlz(20), Path(sys.argv[1]) / "run", workers=1, address=cluster.address)
print("told", len(run.records))
import ray
ray.shutdown()
cluster.shutdown()
"""


def test_a_shadowed_node_is_refused_and_a_sound_one_serves(tmp_path: Path) -> None:
    folder = tmp_path / "shadow" / "operators"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], cwd=tmp_path, capture_output=True,
        text=True, timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"`import operators` finds {folder}, not evolve's own package" in done.stdout
    assert done.stdout.splitlines()[-1] == "told 20"
