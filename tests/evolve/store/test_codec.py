"""Scores as text: every part back, every float exact, arrays in the vault."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evolve.score import Score
from evolve.store.codec import decode, encode
from evolve.store.vault import Vault


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.execute("CREATE TABLE payload (key TEXT PRIMARY KEY, data BLOB NOT NULL)")
        yield Vault(tmp_path / "vault", database)


def test_every_part_comes_back(vault: Vault) -> None:
    score = Score(
        values=(0.1, -2.5e-300),
        violation=0.3,
        measures=(1.0, 2.0),
        metrics={"size": 3.0, "perplexity": math.inf},
        notes={"why": "a – b \n\0 ‘c’", "": "empty name"},
        samples=(np.arange(3, dtype=np.float32), np.zeros(0, np.float32)),
        heritage={"w": np.arange(70_000.0), "b": np.full((), 3, np.float32)},
    )
    found = decode(encode(score, vault), vault)
    assert found.values == score.values
    assert (found.violation, found.measures) == (score.violation, score.measures)
    assert (found.metrics, found.notes, found.error) == (score.metrics, score.notes, None)
    assert found.samples is not None
    assert found.heritage is not None
    assert score.samples is not None
    for ours, theirs in zip(found.samples, score.samples, strict=True):
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)
    assert np.array_equal(found.heritage["w"], np.arange(70_000.0))
    assert found.heritage["b"].shape == ()


def test_a_bare_score_is_a_short_text(vault: Vault) -> None:
    assert encode(Score((1.0,)), vault) == '{"values": [1.0]}'
    found = decode('{"values": [1.0]}', vault)
    assert vars(found) == vars(Score((1.0,)))


def test_a_failure_comes_back(vault: Vault) -> None:
    found = decode(encode(Score.failed("timeout: 3 s", {"detail": "x"}), vault), vault)
    assert (found.error, found.values, found.notes) == ("timeout: 3 s", (), {"detail": "x"})
    empty = decode(encode(Score.failed(""), vault), vault)
    assert empty.error == ""


def test_many_samples_keep_their_order(vault: Vault) -> None:
    samples = tuple(np.full(2, i, np.float32) for i in range(120))
    found = decode(encode(Score((0.0,) * 120, samples=samples), vault), vault)
    assert found.samples is not None
    assert [int(each[0]) for each in found.samples] == list(range(120))


def test_numpy_numbers_become_plain(vault: Vault) -> None:
    score = Score((np.float32(0.1), np.float64(1)), metrics={"n": 3})  # type: ignore[arg-type]
    document = json.loads(encode(score, vault))
    assert document == {"values": [float(np.float32(0.1)), 1.0], "metrics": {"n": 3.0}}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(allow_nan=False), min_size=1), st.floats(min_value=0))
def test_floats_are_exact(vault: Vault, values: list[float], violation: float) -> None:
    found = decode(encode(Score(tuple(values), violation=violation), vault), vault)
    assert [value.hex() for value in found.values] == [value.hex() for value in values]
    assert found.violation == violation
