from __future__ import annotations

import pytest

from evolve.errors import GenomeError, Infertile
from operators.llm.questions import context, different, edits_form, regions_form, within
from tests.operators.llm.cases import LATER, OBJECTIVES, START, TASK, WIDER, record


def test_the_context_of_a_founder_has_no_others() -> None:
    parts = context(f" {TASK}\n", OBJECTIVES, [record(START)], [])
    assert parts["others"] == ""
    assert parts["task"] == TASK
    assert parts["regions"] == "network, schedule"


def test_forms_name_the_regions() -> None:
    assert "one of the regions network, schedule." in edits_form(START)
    assert "```python schedule\n" in regions_form(["schedule"])


def test_what_differs() -> None:
    assert different(START, WIDER, "x") == ("network",)
    with pytest.raises(Infertile, match="x was given two programs that do not differ"):
        different(START, START, "x")


def test_a_change_must_stay_within_its_regions() -> None:
    assert within(START, LATER, ["schedule"]) is LATER
    with pytest.raises(GenomeError, match="changes the region 'network'; change schedule only"):
        within(START, WIDER, ["schedule"])
