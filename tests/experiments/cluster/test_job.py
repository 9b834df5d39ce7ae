"""`ray job submit` on a private head: the recipe of cluster.yaml, without the cloud.

The head, its ports, its folder and its token are this test's own.
"""

from __future__ import annotations

import importlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import evolve
from experiments.dtlz import experiment

ROOT = Path(__file__).resolve().parents[3]
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
PATIENCE = 120.0  # seconds for a head to answer, on a busy machine

pytestmark = [pytest.mark.slow, pytest.mark.ray]


@dataclass(frozen=True)
class Head:
    """A running head: where jobs are submitted, and the environment that may do it."""

    address: str
    environment: Mapping[str, str]

    def ray(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What `ray job WORDS` says."""
        verb, *rest = words
        return subprocess.run(
            [*RAY, "job", verb, "--address", self.address, *rest],
            env=self.environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    def run(self, *words: str) -> str:
        """The log of a submitted job, which must succeed."""
        done = self.ray("submit", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    try:
        importlib.import_module("ray.dashboard.optional_deps")
    except ImportError as error:
        pytest.skip(f"jobs need ray[default], which is not installed ({error})")
    gcs, dashboard, agent, client = free_ports(4)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        environment.pop(name, None)
    with ExitStack() as stack:
        # Short: the path of a Unix socket has at most 107 bytes.
        folder = tempfile.mkdtemp(prefix="rj")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        log = stack.enter_context((Path(folder) / "head.log").open("w+"))
        words = [
            "--head", "--block", "--disable-usage-stats", "--num-cpus=2",
            f"--port={gcs}", f"--dashboard-port={dashboard}", f"--temp-dir={folder}/ray",
            f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}",
            "--min-worker-port=0", "--max-worker-port=0", "--object-store-memory=150000000",
        ]  # fmt: skip
        process = subprocess.Popen(
            [*RAY, "start", *words], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        stack.callback(process.wait, timeout=60)
        stack.callback(process.terminate)  # with --block it ends what it started
        found = Head(f"http://127.0.0.1:{dashboard}", environment)
        await_jobs(found, process, Path(log.name))
        yield found


def free_ports(n: int) -> list[int]:
    """Ports that nothing listened on a moment ago, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def await_jobs(head: Head, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the head takes jobs; fail with its words if it ends before."""
    end = time.monotonic() + PATIENCE
    while (asked := head.ray("list")).returncode != 0:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, asked.stderr + log.read_text()
        time.sleep(0.5)


def test_a_job_begins_a_run_and_another_resumes_it(head: Head, tmp_path: Path) -> None:
    """The experiment is named by a path of the head's, as on every cluster of ours."""
    file, out = shutil.copy(ROOT / "experiments" / "dtlz.py", tmp_path / "my_dtlz.py"), "run"
    alone = evolve.run(replace(experiment, births=36), tmp_path / "alone")
    where = ["--address", "auto", "--workers", "2"]
    begun = head.run("--", "evolve", "run", str(file), "--births", "24",
                     "--out", str(tmp_path / out), *where)  # fmt: skip
    assert "24 births told" in begun
    resumed = head.run("--", "evolve", "resume", str(tmp_path / out), "--births", "36", *where)
    assert "36 births told" in resumed
    assert evolve.load(tmp_path / out).digest == alone.digest


def test_a_folder_travels_with_its_job(head: Head, tmp_path: Path) -> None:
    """`--working-dir` brings an experiment that no machine of the cluster has."""
    folder = tmp_path / "laptop"
    folder.mkdir()
    text = (ROOT / "experiments" / "dtlz.py").read_text()
    (folder / "our_box.py").write_text("SIZE = 7\n")
    (folder / "our_dtlz.py").write_text(
        text.replace("Box.of(0.0, 1.0, 7)", "Box.of(0.0, 1.0, our_box.SIZE)").replace(
            "from evolve import", "import our_box\nfrom evolve import", 1
        )
    )
    alone = evolve.run(replace(experiment, births=24), tmp_path / "alone")
    said = head.run("--working-dir", str(folder), "--", "evolve", "run", "our_dtlz.py",
                    "--births", "24", "--out", str(tmp_path / "run"),
                    "--address", "auto", "--workers", "2")  # fmt: skip
    assert "24 births told" in said
    assert evolve.load(tmp_path / "run").digest == alone.digest


def test_without_the_token_no_job_is_taken(head: Head) -> None:
    stranger = Head(head.address, {**head.environment, "RAY_AUTH_TOKEN": secrets.token_hex(32)})
    refused = stranger.ray("submit", "--", "echo", "in")
    assert refused.returncode != 0
    assert "AuthenticationError" in refused.stderr
