"""The attacks on the real sandbox, at every level of isolation: a table, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fitness.sandbox import Answer, Call, Gap, Level, Limits
from fitness.sandbox.server import Server
from tests.fitness.sandbox.attacks import ATTACKS, COLUMNS, Attack, table
from tests.fitness.sandbox.conftest import Servers

HONEST = "def f(a, b):\n    return a * b\n"
PLACES = ("/tmp", "/dev/shm", "/dev", "/")


def tried(server: Server, attack: Attack, known: Mapping[str, Any]) -> Answer:
    told = {**known, "server": server.pid}
    return server.run(Call({"attack.py": attack.source}, "attack:f", {}, told, attack.limits))


def works(server: Server) -> None:
    """The server that was there before still answers an honest call."""
    pid = server.pid
    answer = server.run(Call({"m.py": HONEST}, "m:f", {}, {"a": 6, "b": 7}, Limits(seconds=20)))
    assert (answer.value, answer.error) == (42, None)
    assert server.pid == pid
    assert server.alive()


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack(
    attack: Attack, column: str, servers: Servers, known: Mapping[str, Any], tmp_path: Path
) -> None:
    if attack.gap is Gap.PACKAGES and not known["packages"]:
        pytest.skip("NO SKLEARN: no installed package ships labels")
    server = servers(column)
    try:
        answer = tried(server, attack, known)
        blocked = attack.blocked(answer)
        reported = attack.gap is not None and attack.gap in answer.isolation.gaps
        assert blocked or reported, answer
        assert blocked == (server.level not in attack.open_at), answer
        works(server)
    finally:
        for place in PLACES:
            Path(place, str(known["left"])).unlink(missing_ok=True)


def test_every_attack_is_blocked_at_full_isolation() -> None:
    assert [attack.name for attack in ATTACKS if Level.FULL in attack.open_at] == []


def test_a_gap_that_is_not_closed_is_named() -> None:
    assert [attack.name for attack in ATTACKS if attack.open_at and attack.gap is None] == []


def test_the_table_has_a_row_an_attack() -> None:
    lines = table().splitlines()
    assert len(lines) == len(ATTACKS) + 2
    assert "| infinite loop | blocked | blocked | blocked | blocked |" in lines
