"""What a candidate sees at full isolation, as root and as a plain user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fitness.sandbox import Call, Limits
from tests.fitness.sandbox.attacks import COLUMNS, Level
from tests.fitness.sandbox.conftest import Servers

FULL = [column for column, level in COLUMNS.items() if level is Level.FULL]
LOOK = """
import os, socket
def folders():
    for folder, inner, _ in os.walk("/"):
        if len(folder.split("/")) > 4:
            inner.clear()
        if not folder.startswith("/box"):
            yield folder
def f(places):
    seen = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "here": os.getcwd(),
        "top": sorted(os.listdir("/")),
        "dev": sorted(os.listdir("/dev")),
        "proc": sorted(os.listdir("/proc")),
        "there": [place for place in places if os.path.exists(place)],
        "writable": [
            folder for folder in folders()
            if os.access(folder, os.W_OK)
        ],
    }
    return seen
"""


@pytest.mark.parametrize("column", FULL)
def test_only_what_is_shown_is_there(column: str, servers: Servers) -> None:
    home = Path(__file__).resolve().parents[4]
    places = [str(home / "pyproject.toml"), str(home / "evolve"), "/etc/passwd", "/bin/sh"]
    places += ["/sys", "/var", "/home", "/proc/self", "/proc/1", "/dev/shm", "/usr/bin"]
    call = Call({"m.py": LOOK}, "m:f", {}, {"places": places}, Limits(seconds=30))
    answer = servers(column).run(call)
    assert answer.error is None, answer
    seen: Any = answer.value
    assert seen["there"] == []
    assert seen["writable"] == []
    assert (seen["host"], seen["pid"], seen["here"]) == ("box", 1, "/box")
    assert seen["dev"] == ["full", "null", "random", "urandom", "zero"]
    assert seen["proc"] == ["cpuinfo", "meminfo"]
    assert {"box", "dev", "proc", "tmp", "usr"} <= set(seen["top"])
    assert not {"old", "sys", "home", "var", "bin"} & set(seen["top"])


@pytest.mark.parametrize("column", FULL)
def test_the_box_is_empty_for_the_next(column: str, servers: Servers) -> None:
    body = (
        "import os\ndef f():\n    open('left', 'w').close()\n    return sorted(os.listdir('.'))\n"
    )
    call = Call({"m.py": body}, "m:f", limits=Limits(seconds=30))
    values = [servers(column).run(call).value for _ in range(2)]
    assert values == [["left", "m.py"]] * 2
