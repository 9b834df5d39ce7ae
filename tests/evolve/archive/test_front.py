"""The front against an obvious oracle, its knee and its best."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.archive.front import Front
from evolve.genomes.vector import Vector
from evolve.score import Objective, Record
from tests.evolve.cases import FG, F, failure, record

MIXED = (Objective("f"), Objective("g", maximise=True), Objective("h"))


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """On natural values of `MIXED`."""
    ours, theirs = ([v[0], -v[1], v[2]] for v in (a, b))
    return all(x <= y for x, y in zip(ours, theirs)) and ours != theirs


def births(front: Front[Vector]) -> list[int]:
    return [each.birth for each in front.records]


small = st.integers(-2, 2).map(float)
candidates = st.lists(
    st.tuples(
        st.tuples(small, small, small),
        st.sampled_from([0.0, 0.0, 0.0, 1.0]),
        st.sampled_from([0, 0, 0, 1]),
    ),
    max_size=14,
)


@settings(max_examples=300, deadline=None)
@given(candidates)
def test_it_is_what_an_oracle_says(rows: list[tuple[tuple[float, ...], float, int]]) -> None:
    records = [
        record(n, values, violation=violation, rung=rung)
        for n, (values, violation, rung) in enumerate(rows)
    ]
    fit = [r for r in records if r.score.violation == 0]
    top = [r for r in fit if r.rung == max(each.rung for each in fit)]
    expected = [
        r.birth for r in top
        if not any(dominates(other.score.values, r.score.values) for other in top)
    ]  # fmt: skip
    assert births(Front.of(records, MIXED)) == expected


@settings(max_examples=100, deadline=None)
@given(candidates)
def test_the_order_of_arrival_does_not_matter(
    rows: list[tuple[tuple[float, ...], float, int]],
) -> None:
    records = [record(n, v, violation=c, rung=r) for n, (v, c, r) in enumerate(rows)]
    turned = sorted(records, key=lambda each: each.digest)
    assert set(births(Front.of(records, MIXED))) == set(births(Front.of(turned, MIXED)))


@settings(max_examples=100, deadline=None)
@given(candidates, candidates)
def test_restored_it_goes_on_as_it_was(
    before: list[tuple[tuple[float, ...], float, int]],
    after: list[tuple[tuple[float, ...], float, int]],
) -> None:
    rows = [*before, *after]
    records = [record(n, v, violation=c, rung=r) for n, (v, c, r) in enumerate(rows)]
    records += [record(n + len(rows), v, n / 1000) for n, (v, _, _) in enumerate(rows)]  # twins
    cut = len(before)
    again: Front[Vector] = Front(MIXED)
    again.restore(Front.of(records[:cut], MIXED).records)
    for each in records[cut:]:
        again.add(each)
    assert births(again) == births(Front.of(records, MIXED))


def test_add_says_whether_it_entered() -> None:
    front: Front[Vector] = Front(FG)
    assert front.add(record(0, [1.0, 1.0]))
    assert front.add(record(1, [0.0, 2.0]))
    assert front.add(record(2, [1.0, 1.0]))  # equal costs, another genome
    assert not front.add(record(3, [1.0, 1.5]))
    assert front.add(record(4, [0.0, 0.0]))
    assert births(front) == [4]
    assert len(front) == 1


def test_a_twin_leaves_the_first_to_be_born() -> None:
    front = Front.of([record(0, [0.0, 1.0], x=0.5), record(1, [1.0, 0.0])], FG)
    assert not front.add(record(2, [0.0, 1.0], x=0.5))
    assert births(front) == [0, 1]
    assert front.best("f").birth == 0


def test_a_promotion_empties_the_cheaper_rung() -> None:
    front = Front.of([record(0, [0.0], x=0.5), record(1, [0.0])], F)
    assert front.add(record(2, [7.0], x=0.5, rung=1))
    assert births(front) == [2]
    assert not front.add(record(3, [0.0]))


def test_failed_and_infeasible_stay_out() -> None:
    front: Front[Vector] = Front(F)
    assert not front.add(failure(0))
    assert not front.add(record(1, [0.0], violation=1e-12))
    assert not front.add(record(2, [0.0], violation=1.0, rung=5))
    assert front.add(record(3, [9.0]))


def test_best_is_by_natural_sign_and_the_earliest_on_a_tie() -> None:
    rows = [[1.0, 5.0, 0.0], [0.5, 4.0, 0.0], [0.5, 4.0, 0.0], [2.0, 6.0, 0.0]]
    front = Front.of([record(n, row) for n, row in enumerate(rows)], MIXED)
    assert front.best("f").birth == 1
    assert front.best("g").birth == 3


def test_the_knee_is_scaled_to_the_front() -> None:
    rows = [[0.0, 1000.0], [10.0, 0.0], [4.0, 100.0], [1.0, 900.0]]
    front = Front.of([record(n, row) for n, row in enumerate(rows)], FG)
    assert len(front) == 4
    assert front.knee().birth == 2  # 0.4 + 0.1


def test_the_knee_counts_ratios_where_an_objective_says_so() -> None:
    rows = [[0.0, 10_000.0], [0.4, 1_000.0], [0.7, 10.0], [1.0, 1.0]]
    for log, knee in ((False, 1), (True, 2)):  # 0.4 + 0.1; 0.7 + 0.25
        goals = (Objective("error"), Objective("bytes", log=log))
        front = Front.of([record(n, row) for n, row in enumerate(rows)], goals)
        assert front.knee().birth == knee


def test_the_knee_of_equal_records_is_the_first() -> None:
    front = Front.of([record(n, [3.0, 3.0]) for n in range(3)], FG)
    assert front.knee().birth == 0


def test_an_empty_front_and_an_unknown_objective_are_errors() -> None:
    empty: Front[Vector] = Front(FG)
    for ask in (empty.knee, lambda: empty.best("f")):
        with pytest.raises(ValueError, match="The front is empty"):
            ask()
    one: list[Record[Vector]] = [record(0, [1.0, 1.0])]
    with pytest.raises(ValueError, match="No objective 'h'; this run has f, g"):
        Front.of(one, FG).best("h")
