"""The vault: exact round trips, one copy by content, nothing changed in silence, a full disk."""

from __future__ import annotations

import os
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from evolve.errors import StoreError
from evolve.store.files import place_of
from evolve.store.vault import INLINE, Vault

REPOSITORY = Path(__file__).resolve().parents[3]
BIG = np.arange(INLINE, dtype=np.float32)


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        made.execute("CREATE TABLE payload (key TEXT PRIMARY KEY, data BLOB NOT NULL)")
        yield made


@pytest.fixture
def vault(tmp_path: Path, database: sqlite3.Connection) -> Vault:
    return Vault(tmp_path / "vault", database)


def files(vault: Vault) -> list[Path]:
    return [path for path in Path(vault.where).rglob("*") if path.is_file()]


def rows(database: sqlite3.Connection) -> int:
    return int(database.execute("SELECT COUNT(*) FROM payload").fetchone()[0])


DTYPES = [
    np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8,
    np.uint64, np.uint32, np.uint16, np.uint8, np.bool_,
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (2, 3, 4)])
def test_every_dtype_and_shape_comes_back(
    vault: Vault, dtype: type[np.generic], shape: tuple[int, ...]
) -> None:
    array = np.asarray(np.arange(np.prod(shape)) % 2).reshape(shape).astype(dtype)
    found = vault.get(vault.put({"a": array}))["a"]
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()


def test_odd_floats_come_back_bit_by_bit(vault: Vault) -> None:
    array = np.array([np.nan, -np.inf, np.inf, -0.0, 5e-324, np.nextafter(1.0, 2.0)])
    assert vault.get(vault.put({"a": array}))["a"].tobytes() == array.tobytes()


@pytest.mark.parametrize("names", [[], ["a"], ["b", "a", "z.weight", "blöcke/1"]])
def test_names_come_back(vault: Vault, names: list[str]) -> None:
    arrays = {name: np.full(2, i) for i, name in enumerate(names)}
    found = vault.get(vault.put(arrays))
    assert set(found) == set(names)
    assert all(np.array_equal(found[name], arrays[name]) for name in names)


def test_memory_order_is_not_content(vault: Vault) -> None:
    array = np.arange(12.0).reshape(3, 4)
    key = vault.put({"a": array, "b": array[:, ::2]})
    assert vault.put({"b": array[:, ::2].copy(), "a": np.asfortranarray(array)}) == key
    assert np.array_equal(vault.get(key)["a"], array)
    assert np.array_equal(vault.get(key)["b"], array[:, ::2])


def test_content_is_kept_once(vault: Vault, database: sqlite3.Connection) -> None:
    assert vault.put({"a": np.ones(3)}) == vault.put({"a": np.ones(3)})
    assert vault.put({"a": np.ones(3)}) != vault.put({"a": np.ones(3, np.float32)})
    assert vault.put({"a": BIG}) == vault.put({"a": BIG.copy()})
    assert (rows(database), len(files(vault))) == (2, 1)


def test_small_payloads_are_rows_and_large_ones_files(
    vault: Vault, database: sqlite3.Connection
) -> None:
    vault.put({"a": np.zeros(INLINE // 2, np.uint8)})
    assert (rows(database), files(vault)) == (1, [])
    key = vault.put({"a": np.zeros(INLINE, np.uint8)})  # with its header just above
    assert rows(database) == 1
    assert files(vault) == [Path(vault.where) / key[:2] / f"{key}.safetensors"]
    assert not vault.get(key)["a"].any()


def test_what_was_put_can_change_afterwards(vault: Vault) -> None:
    array = np.zeros(3)
    key = vault.put({"a": array})
    array[:] = 7
    vault.get(key)["a"][:] = 9
    assert vault.get(key)["a"].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("array", [np.ones(3), BIG], ids=["row", "file"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_tampering_is_noticed(
    vault: Vault, database: sqlite3.Connection, array: np.ndarray, damage: str
) -> None:
    key = vault.put({"a": array})

    def damaged(payload: bytes) -> bytes:
        flipped = payload[:-1] + bytes([payload[-1] ^ 1])
        return {"flip": flipped, "cut": payload[:-3], "empty": b""}[damage]

    if found := files(vault):
        found[0].write_bytes(damaged(found[0].read_bytes()))
    else:
        (payload,) = database.execute("SELECT data FROM payload").fetchone()
        database.execute("UPDATE payload SET data = ?", (damaged(payload),))
    with pytest.raises(StoreError, match=f"{key[:12]}.* was changed or truncated; restore"):
        vault.get(key)


def test_a_missing_payload_is_named(vault: Vault) -> None:
    key = vault.put({"a": BIG})
    files(vault)[0].unlink()
    with pytest.raises(StoreError, match=f"no payload {key[:12]}"):
        vault.get(key)


def test_lazy_files_are_read_at_first_use(vault: Vault) -> None:
    key = vault.put({"a": BIG, "b": np.ones(2)})
    lazy = vault.lazy(key)
    moved = files(vault)[0].rename(Path(vault.where) / "elsewhere")
    with pytest.raises(StoreError, match="no payload"):
        lazy["a"]
    moved.rename(Path(vault.where) / key[:2] / f"{key}.safetensors")
    assert np.array_equal(lazy["a"], BIG)
    assert sorted(lazy) == ["a", "b"]
    assert len(lazy) == 2
    with pytest.raises(KeyError):
        lazy["c"]


@pytest.mark.parametrize("array", [np.ones(3), BIG], ids=["row", "file"])
def test_lazy_works_when_the_database_is_closed(
    vault: Vault, database: sqlite3.Connection, array: np.ndarray
) -> None:
    lazy = vault.lazy(vault.put({"a": array}))
    database.close()
    assert np.array_equal(lazy["a"], array)


def test_no_temporary_file_is_left(vault: Vault) -> None:
    for n in range(3):
        vault.put({"a": BIG + n})
    assert {path.suffix for path in files(vault)} == {".safetensors"}
    assert not [path for path in files(vault) if path.name.startswith(".")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_named(vault: Vault) -> None:
    Path(vault.where).mkdir()
    Path(vault.where).chmod(0o500)
    with pytest.raises(StoreError, match="Cannot write"):
        vault.put({"a": BIG})


def test_a_file_in_the_way_is_named(vault: Vault) -> None:
    Path(vault.where).write_text("not a folder")
    with pytest.raises(StoreError, match=r"Cannot write 262,\d+ bytes to .*vault: .*make room"):
        vault.put({"a": BIG})


FULL = """
import resource, sqlite3, sys
from pathlib import Path
import numpy as np
from evolve.errors import StoreError
from evolve.store.files import place_of
from evolve.store.vault import Vault
database = sqlite3.connect(":memory:")
database.execute("CREATE TABLE payload (key TEXT PRIMARY KEY, data BLOB NOT NULL)")
vault = Vault(Path(sys.argv[1]), database)
kept = vault.put({"a": np.arange(30_000.0)})
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    vault.put({"a": np.arange(50_000.0)})
except StoreError as error:
    print(error)
assert np.array_equal(vault.get(kept)["a"], np.arange(30_000.0))
"""


def test_a_write_that_stops_half_way_leaves_nothing_and_loses_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "vault")],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Cannot write 400,"), done.stdout
    assert "What was scored is safe; make room, then resume the run." in done.stdout
    found = [path for path in (tmp_path / "vault").rglob("*") if path.is_file()]
    assert [path.suffix for path in found] == [".safetensors"]


# --- elsewhere -------------------------------------------------------------------------------


@pytest.fixture
def remote(tmp_path: Path, database: sqlite3.Connection) -> Vault:
    return Vault(f"memory://{tmp_path}/vault", database)


def test_a_vault_at_a_url_keeps_large_payloads_there(
    remote: Vault, database: sqlite3.Connection
) -> None:
    small, key = remote.put({"a": np.ones(3)}), remote.put({"a": BIG})
    assert rows(database) == 1
    assert place_of(remote.where).names() == {f"{key[:2]}/{key}.safetensors"}
    assert remote.get(small)["a"].tolist() == [1.0, 1.0, 1.0]
    lazy = remote.lazy(key)
    database.close()
    assert np.array_equal(lazy["a"], BIG)


@pytest.mark.parametrize("damage", ["flip", "gone", "unreachable"])
def test_a_vault_at_a_url_is_verified(
    remote: Vault, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*arguments: object, **options: object) -> bytes:
        raise RuntimeError("no route to bucket")

    key = remote.put({"a": BIG})
    name, place = f"{key[:2]}/{key}.safetensors", place_of(remote.where)
    words = {"flip": "was changed", "gone": "no payload", "unreachable": "no route to bucket"}
    if damage == "flip":
        place.write(name, place.read(name)[:-1] + b"x")
    elif damage == "gone":
        MemoryFileSystem().rm(f"{str(remote.where).removeprefix('memory:/')}/{name}")
    else:
        monkeypatch.setattr(MemoryFileSystem, "cat_file", unreachable)
    with pytest.raises(StoreError, match=words[damage]):
        remote.get(key)


def test_a_url_that_cannot_be_written_is_named(
    remote: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise PermissionError("access denied")

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", refused)
    with pytest.raises(
        StoreError, match=r"Cannot write 262,\d+ bytes to memory://.*access denied"
    ):
        remote.put({"a": BIG})


def test_a_worker_gets_the_arrays_not_the_vault(vault: Vault) -> None:
    lazy = vault.lazy(vault.put({"a": BIG}))
    assert np.array_equal(pickle.loads(pickle.dumps(lazy))["a"], BIG)
