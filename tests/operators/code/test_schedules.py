from __future__ import annotations

import math

import numpy as np
import pytest

from evolve.errors import Infertile
from operators.code import schedules
from operators.code.mutator import applied
from operators.code.view import views
from tests.operators.code.starts import program, record

ONE = "def learning_rate(progress):\n    return 1.0\n"
TWO = "def schedule(epoch, epochs):\n    return 0.5\n"


@pytest.mark.parametrize(("start", "args"), [(ONE, [(0.0,), (1.0,)]), (TWO, [(0, 5), (5, 5)])])
def test_every_child_is_a_positive_rate(start: str, args: list[tuple[float, ...]]) -> None:
    rng, words = np.random.default_rng(0), set()
    view = views(program().swapped({"schedule": start}))[2]
    for site in [*schedules().sites(view)] * 20:
        edit = site(rng)
        words.add(edit.change.split(":")[1])
        names: dict[str, object] = {"math": math}
        exec(compile(applied(view, edit).code, "schedule", "exec"), names)
        rate = names["learning_rate" if start == ONE else "schedule"]
        assert callable(rate)
        assert all(0 < rate(*each) <= 3 for each in args)
    assert {" linear", " cosine", " warm-up", " cool-down", " steps"} <= words


@pytest.mark.parametrize("text", ["def learning_rate(a, b):\n    return 1.0\n", "rate = 1.0\n"])
def test_what_is_no_schedule_stays(text: str) -> None:
    with pytest.raises(Infertile, match="finds nothing"):
        schedules().vary([record(program().swapped({"schedule": text}))], np.random.default_rng(0))
