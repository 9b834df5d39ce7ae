from __future__ import annotations

import torch
from torch import Tensor

from operators.selection.normalisation import Memory, nadir, normalised, remembered


def f64(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_intercepts_of_the_plane() -> None:
    front = f64([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 5.0], [0.5, 0.5, 0.5]])
    memory = remembered(Memory.blank(3), front, front)
    assert memory.ideal.tolist() == [0.0, 0.0, 0.0]
    assert memory.worst.tolist() == [2.0, 3.0, 5.0]
    assert torch.equal(memory.extremes, front[:3])
    assert torch.allclose(nadir(memory, front, front), f64([[2.0, 3.0, 5.0]])[0])


def test_the_memory_keeps_what_is_lost() -> None:
    early, late = f64([[0.0, 4.0], [4.0, 0.0]]), f64([[1.0, 2.0], [2.0, 1.0], [9.0, 9.0]])
    memory = remembered(remembered(Memory.blank(2), early, early), late, late[:2])
    assert memory.ideal.tolist() == [0.0, 0.0]
    assert memory.worst.tolist() == [9.0, 9.0]
    assert memory.extremes.tolist() == [[4.0, 0.0], [0.0, 4.0]]
    assert nadir(memory, late, late[:2]).tolist() == [4.0, 4.0]


def test_a_nearer_extreme_replaces_the_old() -> None:
    early, late = f64([[0.0, 4.0], [4.0, 0.5]]), f64([[3.0, 0.0]])
    memory = remembered(remembered(Memory.blank(2), early, early), late, late)
    assert memory.extremes[0].tolist() == [3.0, 0.0]


def test_without_a_plane_the_front_decides() -> None:
    one = f64([[1.0, 2.0]])
    rows = f64([[1.0, 2.0], [4.0, 6.0]])
    memory = remembered(Memory.blank(2), rows, one)
    # the front is the ideal point itself: no plane, no range; so the largest of all rows
    assert nadir(memory, rows, one).tolist() == [4.0, 6.0]
    front = f64([[0.0, 1.0], [1.0, 0.0]])
    parallel = Memory(f64([[0.0, 0.0]])[0], f64([[9.0, 9.0]])[0], f64([[1.0, 1.0], [2.0, 2.0]]))
    assert nadir(parallel, f64([[5.0, 5.0]]), front).tolist() == [1.0, 1.0]


def test_a_negative_intercept_is_no_plane() -> None:
    extremes = f64([[2.0, 1.0], [4.0, 3.0]])
    memory = Memory(f64([[0.0, 0.0]])[0], f64([[9.0, 9.0]])[0], extremes)
    front = f64([[0.0, 3.0], [2.0, 0.0]])
    assert nadir(memory, front, front).tolist() == [2.0, 3.0]


def test_the_worst_seen_bounds_the_intercepts() -> None:
    extremes = f64([[2.0, 1.0], [1.0, 2.0]])  # intercepts 3, 3
    memory = Memory(f64([[0.0, 0.0]])[0], f64([[2.5, 2.0]])[0], extremes)
    front = f64([[2.0, 1.0], [1.0, 2.0]])
    assert nadir(memory, front, front).tolist() == [2.5, 2.0]


def test_normalised_is_finite_at_any_scale() -> None:
    for scale in (5e-324, 1e-300, 1.0, 1e300, 1.7e308):
        rows = f64([[-1.0, 1.0], [1.0, -1.0], [0.0, 0.0]]) * scale
        memory = remembered(Memory.blank(2), rows, rows)
        scaled = normalised(rows, memory.ideal, nadir(memory, rows, rows))
        assert bool(torch.isfinite(scaled).all())
        assert bool((scaled >= 0).all())
    ordinary = f64([[-1.0, 1.0], [1.0, -1.0], [0.0, 0.0]])
    scaled = normalised(ordinary, f64([[-1.0, -1.0]])[0], f64([[1.0, 1.0]])[0])
    assert scaled.tolist() == [[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]]


def test_a_constant_objective_is_zero() -> None:
    rows = f64([[0.0, 7.0], [1.0, 7.0]])
    memory = remembered(Memory.blank(2), rows, rows[:1])
    scaled = normalised(rows, memory.ideal, nadir(memory, rows, rows[:1]))
    assert scaled[:, 1].tolist() == [0.0, 0.0]


def test_extremes_in_one_plane_with_the_ideal_are_none() -> None:
    # singular, though rounding lets a solver through: 0.1 + 0.2 != 0.3
    rows = f64([[0.1, 0.2, 0.7], [0.2, 0.1, 0.4], [0.1 + 0.2, 0.3, 1.1]])
    memory = Memory(torch.zeros(3, dtype=torch.float64), f64([[9.0, 9.0, 9.0]])[0], rows)
    assert nadir(memory, rows, rows[:2]).tolist() == [0.2, 0.2, 0.7]


def test_unlike_scales_still_have_a_plane() -> None:
    rows = f64([[1e-4, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1e16]])
    memory = Memory(torch.zeros(3, dtype=torch.float64), rows.amax(0), rows)
    rest = f64([[5e-5, 0.5, 5e15]])
    assert torch.allclose(nadir(memory, rest, rest), f64([[1e-4, 1.0, 1e16]])[0])
