"""The picture of a run: which points it draws, and when there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from evolve.errors import EvolveError
from evolve.report import picture as module
from evolve.report.front import Point
from evolve.report.picture import picture
from evolve.score import Objective, Score
from evolve.store.run import FinalRow
from tests.evolve.cases import F
from tests.evolve.report.runs import PLAIN, written


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    run = written(tmp_path / "run", final=True)
    path = tmp_path / "front.png"
    assert picture(run, path) == f"The trade-off is drawn in {path}"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_it_draws_validation_scores_once_a_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Point] = []

    def spy(points: Sequence[Point], objectives: Sequence[Objective], path: Path) -> None:
        drawn.extend(points)

    monkeypatch.setattr(module, "draw_front", spy)
    picture(written(tmp_path / "run", final=True), tmp_path / "front.png")
    kinds = Counter(point.kind for point in drawn)
    assert kinds == {"front": 3, "scored": 1, "baseline": 1, "extreme": 2, "knee": 1}
    named = {point.label: tuple(point.values) for point in drawn if point.label}
    assert named == {
        "soup [/i]": (5.0, 5.0),
        "best f": (0.0, 10.0),
        "best g": (10.0, 0.0),
        "knee": (2.0, 3.0),
    }


def test_founders_that_are_beaten_are_told_from_their_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Point] = []
    monkeypatch.setattr(module, "draw_front", lambda points, *rest: drawn.extend(points))
    scores = [Score((8.0, 8.0)), Score((7.0, 7.0)), Score((1.0, 1.0)), Score((6.0, 6.0))]
    picture(written(tmp_path / "run", scores), tmp_path / "front.png")
    kinds = Counter(point.kind for point in drawn)
    assert kinds == {"founder": 2, "scored": 1, "front": 1, "extreme": 2, "knee": 1}


def test_a_baseline_that_is_a_founder_is_drawn_once_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Point] = []
    monkeypatch.setattr(module, "draw_front", lambda points, *rest: drawn.extend(points))
    scores = [Score((8.0, 8.0)), Score((7.0, 7.0)), Score((1.0, 1.0))]
    run = written(tmp_path / "run", scores)
    first, other = run.records[0], Score((5.0, 5.0))
    vars(run)["final"] = [
        FinalRow("expert", "baseline", first.digest, None, first.score, first.score),
        FinalRow("static", "baseline", "elsewhere", None, other, other),
    ]
    picture(run, tmp_path / "front.png")
    found = [(p.label, p.kind) for p in drawn if tuple(p.values) in {(8.0, 8.0), (5.0, 5.0)}]
    assert sorted(found) == [("expert", "founder"), ("static", "baseline")]


@pytest.mark.parametrize("scores", [[], PLAIN[-2:]])
def test_without_a_front_there_is_none(tmp_path: Path, scores: list[Score]) -> None:
    found = picture(written(tmp_path / "run", scores), tmp_path / "front.png")
    assert found.startswith("No picture: it takes two objectives or more")
    assert not (tmp_path / "front.png").exists()


def test_with_one_objective_there_is_none(tmp_path: Path) -> None:
    run = written(tmp_path / "run", [Score((1.0,))], objectives=F)
    assert picture(run, tmp_path / "front.png").startswith("No picture")


def test_a_full_disk_is_said_and_no_error(tmp_path: Path) -> None:
    place = tmp_path / "missing" / "front.png"
    found = picture(written(tmp_path / "run"), place)
    assert found.startswith("No picture: [Errno 2] No such file or directory")


def test_a_missing_library_is_said_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*anything: object) -> None:
        raise EvolveError("type `pip install evolve[plots]`.")

    monkeypatch.setattr(module, "draw_front", without)
    found = picture(written(tmp_path / "run"), tmp_path / "front.png")
    assert found == "No picture: type `pip install evolve[plots]`."
