from __future__ import annotations

from dataclasses import replace

from evolve.score import Objective, Score
from operators.llm import telling
from tests.operators.llm.cases import LATER, OBJECTIVES, START, WIDER, failed, record


def test_objectives_have_direction_and_unit() -> None:
    assert telling.goals((*OBJECTIVES, Objective("latency", unit="ms"))) == (
        "- accuracy (%): higher is better\n"
        "- parameters: lower is better\n"
        "- latency (ms): lower is better"
    )


def test_results_have_fixed_digits_violation_and_sorted_notes() -> None:
    notes = {"output": " lines \n", "hint": "too slow", "isolation": "full", "empty": " "}
    score = Score((100 / 3, 1234567.0), violation=0.25, notes=notes)
    assert telling.results(replace(record(START), score=score), OBJECTIVES) == (
        "- accuracy: 33.3333 %\n- parameters: 1.23457e+06\n- constraints are violated by 0.25\n"
        "- hint: too slow\n- output: lines"
    )


def test_a_failure_is_told_with_the_end_of_its_traceback() -> None:
    trace = "x" * 5000 + "\nValueError: shapes (object at 0x7f12ab34cd56)"
    told = telling.results(failed(WIDER, "exception: ValueError", trace), OBJECTIVES)
    assert "it failed: exception: ValueError" in told
    assert told.rstrip("`\n").endswith("ValueError: shapes (object at 0x...)")
    assert len(told) < 2000


def test_worst_first_by_scaled_costs_then_violation_then_failure() -> None:
    best, poor = record(START, 95.0, 500, birth=4), record(WIDER, 90.0, 5000, birth=3)
    large = record(START, 94.0, 5000, birth=5)  # nearly as good as the best, in one of the two
    broken = failed(START, "timeout: 60 s", birth=2)
    outside = replace(best, score=replace(best.score, violation=2.0), birth=1)
    order = telling.worst_first([best, outside, large, broken, poor], OBJECTIVES)
    assert [each.birth for each in order] == [2, 1, 3, 5, 4]


def test_inspirations_show_what_differs_worst_first_and_no_twins() -> None:
    parent = record(START)
    better, worse = record(WIDER, 95.0, birth=1), record(LATER, 80.0, birth=2)
    twin = record(START, birth=3)
    told = telling.inspirations(parent, [better, twin, worse, better], OBJECTIVES)
    assert told.index("(1 of 2, worst to best)") < told.index("return rate / 2")
    assert told.index("return rate / 2") < told.index("width = 16")
    assert "LABELS" not in told
    assert telling.inspirations(parent, [twin], OBJECTIVES) == ""


def test_lessons_show_the_change_and_how_it_failed() -> None:
    told = telling.lessons(record(START), [failed(WIDER, "out of memory: 2 GiB", "MemoryError")])
    assert "-width = 8\n+width = 16" in told
    assert "it failed: out of memory: 2 GiB" in told
    assert "MemoryError" in told


def test_a_long_difference_is_cut() -> None:
    many = START.swapped({"network": "".join(f"a{i} = {i}\n" for i in range(200))})
    lines = telling.difference(START, many).splitlines()
    assert len(lines) == telling.DIFF + 1
    assert lines[-1].endswith("more lines")


def test_a_fence_is_longer_than_any_within() -> None:
    assert telling.fenced("a\n````\n", "text") == "`````text\na\n````\n`````"


def test_a_listing_has_files_whole() -> None:
    assert telling.listing(START) == f"```python net.py\n{START.files['net.py'].rstrip()}\n```"
