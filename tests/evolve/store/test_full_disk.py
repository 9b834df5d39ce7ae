"""A disk that is really full: one clear error, and after room was made the same run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from evolve.errors import StoreError
from evolve.score import Score
from evolve.search.protocol import Proposal
from evolve.store.backup import Backup
from evolve.store.ledger import Ledger
from tests.evolve.cases import vector

REPOSITORY = Path(__file__).resolve().parents[3]
BIRTHS, MEBI = 120, 1 << 20


def drive(folder: Path) -> str:
    """Begin the run at `folder`, or go on with it, to its last birth; returns its digest."""
    new = not (folder / "ledger.sqlite").exists()
    with closing(Ledger.create(folder, {}) if new else Ledger.open(folder, write=True)) as ledger:
        ledger.begin_epoch({})
        for each in ledger.unfinished():
            finish(ledger, each.birth, each.score is not None)
        for birth in range(ledger.births(), BIRTHS):
            ledger.born(birth, Proposal(vector(birth / BIRTHS)))
            finish(ledger, birth, False)
        return ledger.digest()


def finish(ledger: Ledger, birth: int, scored: bool) -> None:
    """Score and commit a birth; every tenth leaves a large payload, the others a long note."""
    if not scored:
        attempt = ledger.dispatched(birth)
        large = birth % 10 == 0
        ledger.scored(
            birth,
            Score(
                (float(birth),),
                notes={} if large else {"text": "x" * 5_000},
                samples=(np.full(30_000, birth, np.float32),) if large else None,
            ),
        )
        assert ledger.ended(birth, attempt, ledger.epoch, "scored", "w")
    ledger.committed(birth, birth)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return drive(tmp_path_factory.mktemp("undisturbed") / "run")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB, where this user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("NOT RUN: no permission to mount a small file system (the limit test ran)")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("left", [0, 40_000, 200_000, MEBI])
def test_a_disk_that_fills_up_stops_the_run_and_changes_nothing(
    disk: Path, undisturbed: str, left: int
) -> None:
    with closing(Ledger.create(disk / "run", {})):
        pass
    with (disk / "filler").open("wb") as file:
        file.write(bytes(shutil.disk_usage(disk).free - left))
    for _ in range(2):  # also the second time, while it is still full
        with pytest.raises(StoreError, match=r"Cannot .*(make room|mend that), then"):
            drive(disk / "run")
    with closing(Ledger.open(disk / "run", write=False)) as reader:
        assert reader.told() < BIRTHS
        assert [record.birth for record in reader.records()] == list(range(reader.told()))
    (disk / "filler").unlink()
    assert drive(disk / "run") == undisturbed


@pytest.mark.parametrize(
    ("left", "words"), [(0, "Cannot lock the run directory"), (50_000, "Cannot copy the run")]
)
def test_a_backup_onto_a_full_disk_leaves_the_last_copy(
    disk: Path, tmp_path: Path, left: int, words: str
) -> None:
    drive(tmp_path / "run")
    with closing(Ledger.open(tmp_path / "run", write=True)) as ledger:
        backup = Backup(ledger, str(disk / "copy"))
        backup.copy()
        before = (disk / "copy" / "ledger.sqlite").read_bytes()
        with (disk / "filler").open("wb") as file:
            file.write(bytes(shutil.disk_usage(disk).free - left))
        ledger.set_fact("name", "y")
        with pytest.raises(StoreError, match=f"{words}.*make room"):
            backup.copy()
        assert (disk / "copy" / "ledger.sqlite").read_bytes() == before


LIMITED = """
import resource, sys
from pathlib import Path
from evolve.errors import StoreError
from tests.evolve.store.test_full_disk import MEBI, drive
resource.setrlimit(resource.RLIMIT_FSIZE, (MEBI // 4, MEBI // 4))
try:
    drive(Path(sys.argv[1]))
except StoreError as error:
    print(error)
"""


def test_a_file_that_may_not_grow_stops_the_run_and_changes_nothing(
    tmp_path: Path, undisturbed: str
) -> None:
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", LIMITED, str(tmp_path / "run")],
            capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Cannot write to the ledger in"), done.stdout
        assert done.stdout.count("\n") == 1
        assert "What was scored is safe" in done.stdout
    with closing(Ledger.open(tmp_path / "run", write=False)) as reader:
        assert 0 < reader.told() < BIRTHS
    assert drive(tmp_path / "run") == undisturbed
