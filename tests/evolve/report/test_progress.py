"""Where a run stands: counted from the ledger, beside its writer, each score read once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from evolve.errors import StoreError
from evolve.failure import Policy
from evolve.report import progress
from evolve.report.progress import Follower
from evolve.score import Score
from evolve.search.protocol import Proposal
from evolve.store.ledger import Ledger
from tests.evolve.cases import FG, vector

FACTS = {
    "name": "test", "births": 100, "seed": 0, "order": "ordered", "window": 8, "file": None,
    "objectives": [vars(objective) for objective in FG], "policy": dict(vars(Policy())),
}  # fmt: skip


def born(ledger: Ledger, birth: int, x: float | None = None) -> None:
    ledger.born(birth, Proposal(vector(birth / 1000 if x is None else x)))


def scored(ledger: Ledger, birth: int, score: Score, worker: str = "a") -> None:
    """One attempt that ends with `score`, told."""
    attempt = ledger.dispatched(birth)
    outcome = "scored" if score.error is None else score.error.partition(":")[0]
    assert ledger.ended(birth, attempt, ledger.epoch, outcome, worker)
    ledger.scored(birth, score)
    ledger.committed(birth, birth)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger.create(tmp_path / "run", FACTS)) as made:
        made.begin_epoch({})
        yield made


def test_a_run_that_has_just_begun(ledger: Ledger) -> None:
    now = Follower(ledger.folder).look()
    assert (now.told, now.written, now.births, now.finished) == (0, 0, 100, False)
    assert (now.rate, now.left, now.flights, now.workers) == (None, None, (), ())
    assert now.quiet < 60


def test_it_follows_a_live_writer(ledger: Ledger) -> None:
    follower = Follower(ledger.folder)
    for birth in range(6):
        born(ledger, birth)
        scored(ledger, birth, Score((float(birth), 1.0 - birth)), f"ray-{birth % 2}")
        now = follower.look()
        assert (now.told, now.read, len(now.front)) == (birth + 1,) * 3
    born(ledger, 6)
    born(ledger, 7)
    ledger.dispatched(6)
    now = follower.look()
    assert now.written == 8
    assert [(f.birth, f.attempt, f.stage) for f in now.flights] == [(6, 1, "evaluate")]
    assert now.outcomes == {"scored": 6}
    assert [(w.worker, w.ended, w.failed, w.last) for w in now.workers] == [
        ("ray-0", 3, 0, "scored"),
        ("ray-1", 3, 0, "scored"),
    ]
    assert now.rate is not None
    assert now.left == pytest.approx(94 / now.rate)
    ledger.set_fact("finished", time.time())
    now = follower.look()
    assert (now.finished, now.rate) == (True, None)


def test_losses_are_counted_by_kind_and_genome(ledger: Ledger) -> None:
    for birth, (x, error) in enumerate(
        [(0.1, "timeout: 3 s"), (0.1, "timeout: 3 s"), (0.2, "exception: x"), (0.3, "invalid: y")]
    ):
        born(ledger, birth, x)
        scored(ledger, birth, Score.failed(error), "b")
    assert not ledger.ended(0, 1, ledger.epoch, "scored", "b")
    now = Follower(ledger.folder).look()
    assert now.failed == {"timeout": 2, "exception": 1, "invalid": 1}
    assert now.quarantined == 1  # twins are one genome
    assert now.fenced == 1
    assert now.outcomes == {"timeout": 2, "exception": 1, "invalid": 1}
    assert [(w.ended, w.failed, w.last) for w in now.workers] == [(4, 4, "invalid")]


def test_a_lost_driver_is_no_worker_and_no_progress(ledger: Ledger) -> None:
    born(ledger, 0)
    ledger.dispatched(0)
    ledger.begin_epoch({})
    now = Follower(ledger.folder).look()
    assert (now.epoch, now.outcomes, now.workers) == (2, {"driver lost": 1}, ())
    assert now.rate is None


def test_a_silent_driver_is_seen_by_the_files(ledger: Ledger) -> None:
    for name in os.listdir(ledger.folder):
        os.utime(ledger.folder / name, (0.0, time.time() - 500))
    assert 490 < Follower(ledger.folder).look().quiet < 600


def test_the_rate_is_of_the_last_minutes(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    born(ledger, 0)
    scored(ledger, 0, Score((1.0, 1.0)))
    follower = Follower(ledger.folder)
    later = time.time() + 100.0
    monkeypatch.setattr(progress.time, "time", lambda: later)
    now = follower.look()
    assert now.rate == pytest.approx(0.01, rel=0.01)
    assert now.workers[0].ago == pytest.approx(100, abs=1)
    later += 1_000.0
    now = follower.look()
    assert (now.rate, now.workers) == (None, ())


def test_a_long_run_is_read_in_parts(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PAGE", 4)
    for birth in range(10):
        born(ledger, birth)
        scored(ledger, birth, Score((float(birth), -float(birth))))
    follower = Follower(ledger.folder)
    assert [(p.read, len(p.front), p.told) for p in (follower.look() for _ in range(4))] == [
        (4, 4, 10),
        (8, 8, 10),
        (10, 10, 10),
        (10, 10, 10),
    ]


def test_no_run_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no run"):
        Follower(tmp_path)
