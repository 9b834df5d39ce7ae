"""A second copy of a run: whole, cheap to renew, never over anything else, never fatal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import evolve
from evolve.errors import StoreError
from evolve.score import Score
from evolve.search.protocol import Proposal
from evolve.store.backup import LEAST, MOST, SHARE, Backup
from evolve.store.files import Folder, place_of
from evolve.store.ledger import Ledger
from evolve.store.vault import INLINE
from tests.evolve.cases import vector


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A live run with two told births, each of which left a large payload."""
    with closing(Ledger.create(tmp_path / "run", {"name": "x"})) as made:
        made.begin_epoch({})
        told(made, 2)
        yield made


def told(ledger: Ledger, births: int) -> None:
    for birth in range(ledger.births(), births):
        ledger.born(birth, Proposal(vector(birth / 100)))
        ledger.scored(birth, Score((1.0,), heritage={"w": np.full(INLINE, birth)}))
        ledger.committed(birth, birth)


def whole(folder: Path, ledger: Ledger) -> None:
    """`folder` is the whole run of `ledger`, to be read and to be written."""
    run = evolve.load(folder)
    assert run.digest == ledger.digest()
    for record in run.records:
        assert record.score.heritage is not None
        assert set(record.score.heritage["w"]) == {record.birth}
    assert {path.name for path in folder.iterdir()} == {"ledger.sqlite", "lock", "vault"}
    with closing(Ledger.open(folder, write=True)) as copy:
        assert copy.unfinished() == []


def test_a_copy_is_a_whole_run(ledger: Ledger, tmp_path: Path) -> None:
    seconds = Backup(ledger, str(tmp_path / "a" / "copy")).copy()
    assert seconds > 0
    whole(tmp_path / "a" / "copy", ledger)


def test_a_copy_is_renewed_by_what_is_new(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = Backup(ledger, str(tmp_path / "copy"))
    backup.copy()
    put, names = Folder.put, list[str]()

    def noted(self: Folder, file: Path, name: str) -> None:
        names.append(name)
        put(self, file, name)

    monkeypatch.setattr(Folder, "put", noted)
    told(ledger, 3)
    for each in (backup, Backup(ledger, str(tmp_path / "copy"))):  # a resumed driver looks first
        each.copy()
    assert len(names) == 3, names
    assert names[0].startswith("vault/"), "before the ledger that names it"
    assert names[1:] == ["ledger.sqlite"] * 2
    whole(tmp_path / "copy", ledger)


def test_a_copy_at_a_url_is_a_whole_run_once_fetched(ledger: Ledger, tmp_path: Path) -> None:
    url = f"memory://{tmp_path}/copy"
    Backup(ledger, url).copy()
    told(ledger, 3)
    Backup(ledger, url).copy()
    names = place_of(url).names()
    assert len(names) == 4
    fetched = Folder(tmp_path / "fetched")
    for name in names:
        fetched.write(name, place_of(url).read(name))
    (tmp_path / "fetched" / "lock").touch()
    whole(tmp_path / "fetched", ledger)


def test_a_copy_is_resumed_where_the_run_was_lost(ledger: Ledger, tmp_path: Path) -> None:
    ledger.born(2, Proposal(vector(0.02)))
    ledger.dispatched(2)
    Backup(ledger, str(tmp_path / "copy")).copy()
    ledger.scored(2, Score((1.0,), heritage={"w": np.full(INLINE, 2)}))
    ledger.committed(2, 2)
    with closing(Ledger.open(tmp_path / "copy", write=True)) as copy:
        copy.begin_epoch({})
        assert [each.birth for each in copy.unfinished()] == [2]
        copy.scored(2, Score((1.0,), heritage={"w": np.full(INLINE, 2)}))
        copy.committed(2, 2)
        assert copy.digest() == ledger.digest()


# --- what is refused -------------------------------------------------------------------------


def test_a_run_is_not_its_own_copy(ledger: Ledger) -> None:
    for target in (str(ledger.folder), f"file://{ledger.folder}", f"{ledger.folder}/../run"):
        with pytest.raises(StoreError, match="is the run itself; give another place"):
            Backup(ledger, target)


def resumed(folder: Path) -> None:
    with closing(Ledger.open(folder, write=True)) as ledger:
        ledger.begin_epoch({})


def killed_there(folder: Path) -> None:
    (folder / "ledger.sqlite-wal").write_bytes(b"what it wrote last")


def another(folder: Path) -> None:
    (folder / "ledger.sqlite").unlink()
    with closing(Ledger.create(folder.parent / "other", {})) as other:
        Backup(other, str(folder)).copy()


@pytest.mark.parametrize("change", [resumed, killed_there, another])
@pytest.mark.parametrize("again", [False, True], ids=["same driver", "next driver"])
def test_what_is_no_earlier_copy_of_the_run_is_left_alone(
    ledger: Ledger, tmp_path: Path, change: Callable[[Path], None], again: bool
) -> None:
    folder = tmp_path / "copy"
    backup = Backup(ledger, str(folder))
    backup.copy()
    change(folder)
    before = (folder / "ledger.sqlite").read_bytes()
    if again:
        backup = Backup(ledger, str(folder))
    with pytest.raises(StoreError, match="holds another run, or a copy of this one that was"):
        backup.copy()
    assert (folder / "ledger.sqlite").read_bytes() == before


def test_other_files_are_left_alone(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "thesis.tex").write_text("words")
    with pytest.raises(StoreError, match=r"holds thesis.tex, which is no copy of a run"):
        Backup(ledger, str(tmp_path / "copy")).copy()
    assert not (tmp_path / "copy" / "ledger.sqlite").exists()


def test_a_copy_that_is_run_just_now_is_left_alone(ledger: Ledger, tmp_path: Path) -> None:
    backup = Backup(ledger, str(tmp_path / "copy"))
    backup.copy()
    live = Ledger.open(tmp_path / "copy", write=True)
    with closing(live), pytest.raises(StoreError, match="is being written by a live run"):
        backup.copy()
    backup.copy()


# --- what fails ------------------------------------------------------------------------------


def test_a_place_that_cannot_be_written_is_named_and_the_run_goes_on(
    ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("words")
    backup = Backup(ledger, str(tmp_path / "file" / "copy"))
    with pytest.raises(StoreError, match=r"Cannot copy the run .*file/copy: .*make room there"):
        backup.copy()
    assert not backup.due(), "not tried again at once"
    told(ledger, 3)
    (tmp_path / "file").unlink()
    backup.copy()
    whole(tmp_path / "file" / "copy", ledger)


@pytest.mark.parametrize("scheme", ["", "memory://"])
@pytest.mark.parametrize("at", [0, 1], ids=["vault", "ledger"])
def test_a_copy_that_breaks_off_leaves_the_last_one(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, at: int
) -> None:
    target = f"{scheme}{tmp_path}/copy"
    backup = Backup(ledger, target)
    backup.copy()
    before = place_of(target).read("ledger.sqlite")
    told(ledger, 3)
    left = [at]

    def full(*arguments: object, **options: object) -> None:
        if left[0] == 0:
            raise OSError(28, "No space left on device")
        left[0] -= 1

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        patch.setattr(MemoryFileSystem, "mv", full)
        with pytest.raises(StoreError, match=r"No space left on device.*The run itself is not"):
            backup.copy()
    assert place_of(target).read("ledger.sqlite") == before
    backup.copy()
    if not scheme:
        whole(tmp_path / "copy", ledger)


def test_what_a_killed_copy_leaves_is_cleared(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "copy" / ".backup-killed").mkdir(parents=True)
    (tmp_path / "copy" / ".backup-killed" / "ours").write_text("half")
    Backup(ledger, str(tmp_path / "copy")).copy()
    whole(tmp_path / "copy", ledger)


# --- how often -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("took", "pause"), [(0.001, LEAST), (3.0, 3.0 * SHARE), (1e4, MOST)], ids=str
)
def test_copies_take_a_twentieth_of_the_time(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, took: float, pause: float
) -> None:
    now = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    backup = Backup(ledger, str(tmp_path / "copy"))
    assert backup.due()

    def slow() -> None:
        now[0] += took

    monkeypatch.setattr(backup, "_copy", slow)
    assert backup.copy() == pytest.approx(took)
    now[0] += pause - 0.01
    assert not backup.due()
    now[0] += 0.02
    assert backup.due()
