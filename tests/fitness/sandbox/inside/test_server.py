"""How the fork server stands between calls; its calls are in `tests/fitness/sandbox`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fitness.sandbox import Call, Limits
from tests.fitness.sandbox.attacks import COLUMNS
from tests.fitness.sandbox.conftest import Servers

LAZY = """
import email.mime.text, colorsys, sqlite3, importlib.util
import numpy.polynomial.hermite
def f():
    return importlib.util.find_spec("evolve") is None
"""


@pytest.mark.parametrize("column", COLUMNS)
def test_what_was_not_imported_before_still_can_be(column: str, servers: Servers) -> None:
    """Also where another user could not open the interpreter's folder."""
    answer = servers(column).run(Call({"m.py": LAZY}, "m:f", limits=Limits(seconds=30)))
    assert (answer.value, answer.error) == (True, None), answer


@pytest.mark.parametrize("column", COLUMNS)
def test_nothing_is_left_of_a_candidate(column: str, servers: Servers) -> None:
    server = servers(column)
    before = [running(server.pid), boxes()]
    body = "def f():\n    while True: pass\n"
    limits = Limits(seconds=0.2)
    assert str(server.run(Call({"m.py": body}, "m:f", limits=limits)).error).startswith("timeout")
    assert [running(server.pid), boxes()] == before


def running(pid: int) -> list[str]:
    """The processes below that one."""
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for child in below for each in [child, *running(int(child))]]


def boxes() -> list[str]:
    return [name for name in os.listdir("/tmp") if name.startswith("evolve-box-")]


def test_candidates_know_nothing_of_each_other(servers: Servers) -> None:
    body = (
        "import torch\ndef f():\n"
        "    torch.seen = vars(torch).get('seen', 0) + 1\n"
        "    return torch.seen\n"
    )
    server = servers("full (root)")
    call = Call({"m.py": body}, "m:f", limits=Limits(seconds=30))
    assert [server.run(call).value for _ in range(2)] == [1, 1]


def test_sets_have_one_order_in_every_server(servers: Servers) -> None:
    call = Call({"m.py": "def f(): return hash('a')"}, "m:f", limits=Limits(seconds=30))
    assert len({servers(column).run(call).value for column in COLUMNS}) == 1
