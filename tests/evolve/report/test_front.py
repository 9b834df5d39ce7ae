import builtins
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

from evolve.errors import EvolveError
from evolve.report import front
from evolve.report.front import Kind, Point, draw_front
from evolve.score import Objective

KING = Objective("King James", unit="nats/token")
DOCS = Objective("Python docs", unit="nats/token")
CODE = Objective("Python source", unit="nats/token")
SPEED = Objective("speed", maximise=True, unit="tokens/s")


def points(m: int) -> list[Point]:
    rng = np.random.default_rng(1)
    front_members = rng.dirichlet([1.0] * m, 12)
    drawn = [Point("", "scored", tuple(row + 0.2)) for row in front_members]
    drawn += [Point("", "front", tuple(row)) for row in front_members]
    drawn += [Point("base", "founder", (1.0,) * m), Point("TIES", "baseline", (0.8,) * m)]
    drawn += [Point("far expert", "founder", (0.1,) * (m - 1) + (90.0,))]
    return [*drawn, Point("knee", "knee", tuple(front_members[0]))]


@pytest.mark.parametrize(
    "objectives", [(KING, DOCS), (KING, SPEED), (KING, DOCS, CODE), (KING, DOCS, CODE, SPEED)]
)
def test_every_number_of_objectives_gives_a_picture(
    tmp_path: Path, objectives: Sequence[Objective]
) -> None:
    draw_front(points(len(objectives)), objectives, tmp_path / "front.png")
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")


def test_picture_says_names_units_and_directions(tmp_path: Path) -> None:
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        draw_front(points(3), (KING, DOCS, SPEED), tmp_path / "front.svg")
    text = (tmp_path / "front.svg").read_text(encoding="utf-8")
    for wanted in (
        "King James (nats/token)", "← lower is better", "speed (tokens/s)", "higher is better →",
        "static merges", "founders", "knee",
    ):  # fmt: skip
        assert wanted in text, wanted


def test_labels_give_the_values_beyond_the_axes() -> None:
    values = np.array([0.1, 90.0])
    assert front._caption("far expert", values, np.array([0.1, 2.0])) == "far expert (90)"
    assert front._caption("base", values, values) == "base"


def test_one_point_is_a_picture(tmp_path: Path) -> None:
    draw_front([("only", "front", (1.0, 1.0))], (KING, DOCS), tmp_path / "front.png")
    assert (tmp_path / "front.png").exists()


def test_axes_show_the_front_in_full_and_the_rest_within_reach() -> None:
    table = [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (50.0, 1.5)]
    kinds: tuple[Kind, ...] = ("front", "front", "baseline", "founder")
    marks = [Point("", kind, row) for kind, row in zip(kinds, table)]
    limits = front._limits(marks, np.array(table))
    assert (limits[:, 0] < 0.0).all()
    assert (limits[:, 1] > 2.0).all()
    assert (limits[:, 1] < 3.0).all()


@pytest.mark.parametrize(
    ("given", "objectives", "words"),
    [
        ([Point("a", "front", (1.0,))], (KING,), "two objectives"),
        ([], (KING, DOCS), "no points"),
        ([("a", "parent", (1.0, 1.0))], (KING, DOCS), "'parent'.*founder"),
        ([Point("a", "front", (1.0,))], (KING, DOCS), "'a'.*2 finite"),
        ([Point("a", "front", (1.0, float("nan")))], (KING, DOCS), "'a'.*2 finite"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(
    tmp_path: Path, given: list[Any], objectives: tuple[Objective, ...], words: str
) -> None:
    with pytest.raises(EvolveError, match=words):
        draw_front(given, objectives, tmp_path / "front.png")
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> object:
        if name.startswith("matplotlib"):
            raise ImportError("No module named 'matplotlib'")
        return real(name, globals, locals, fromlist, level)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(EvolveError, match=r"pip install evolve\[plots\]"):
        draw_front(points(2), (KING, DOCS), tmp_path / "front.png")


def test_importing_the_module_loads_no_matplotlib() -> None:
    code = "import sys, evolve.report.front; sys.exit('matplotlib' in sys.modules)"
    root = Path(front.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
