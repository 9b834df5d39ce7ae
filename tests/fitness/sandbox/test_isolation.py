from __future__ import annotations

import pytest

from evolve.errors import IsolationError
from fitness.sandbox.isolation import GAPS, Gap, Isolation, Level, required

PLAIN = Isolation(Level.PLAIN, ("seccomp", "rlimits"), ("full: unshare: Operation not permitted",))
FULL = Isolation(Level.FULL, ("namespaces net pid", "own user", "seccomp"))


def test_it_is_one_short_line_that_names_what_is_open() -> None:
    assert str(FULL) == "full: namespaces net pid, own user, seccomp"
    assert str(PLAIN) == (
        "plain: seccomp, rlimits; not blocked: files its user may open, other installed "
        "packages, memory of its user's other processes, number of its files"
    )


def test_a_higher_level_closes_more() -> None:
    assert set(GAPS[Level.FULL]) < set(GAPS[Level.OTHER_USER]) < set(GAPS[Level.PLAIN]) == set(Gap)


def test_less_than_required_is_refused_with_the_reason() -> None:
    FULL.meet(Level.FULL)
    PLAIN.meet(Level.PLAIN)
    with pytest.raises(IsolationError, match="at level 'plain', 'other-user' is required") as e:
        PLAIN.meet(Level.OTHER_USER)
    assert "unshare: Operation not permitted" in str(e.value)
    assert "EVOLVE_REQUIRE_ISOLATION=plain" in str(e.value)


def test_the_environment_names_the_level() -> None:
    assert required({}) is Level.PLAIN
    assert required({"EVOLVE_REQUIRE_ISOLATION": ""}) is Level.PLAIN
    for level in Level:
        assert required({"EVOLVE_REQUIRE_ISOLATION": level.word}) is level
    with pytest.raises(IsolationError, match="'most'; give one of plain, other-user, full"):
        required({"EVOLVE_REQUIRE_ISOLATION": "most"})
