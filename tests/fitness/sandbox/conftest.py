"""One real server a level, for all tests of the sandbox, and what attacks look for."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from evolve.errors import IsolationError
from fitness.sandbox.server import Server, started
from tests.fitness.sandbox.attacks import COLUMNS

AS_NOBODY = (sys.executable, str(Path(__file__).with_name("as_nobody.py")))

SECRET = secrets.token_hex(16)  # in the environment of every launcher

Servers = Callable[[str], Server]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The server of a column of the table. All but the first import nothing beforehand."""
    running: dict[str, Server] = {}

    def of(column: str) -> Server:
        if os.getuid():
            pytest.skip("NOT ROOT: the levels of isolation were not compared")
        if column not in running or not running[column].alive():
            plain = column.endswith(("namespaces)", "user"))
            running[column] = start(column, AS_NOBODY if plain else ())
        return running[column]

    yield of
    for server in running.values():
        server.stop()


def start(column: str, prefix: tuple[str, ...]) -> Server:
    level = COLUMNS[column]
    try:
        with pytest.MonkeyPatch.context() as ours:
            ours.setenv("SECRET", SECRET)
            server = started(level, warm=column == "full (root)", prefix=prefix)
    except IsolationError as error:
        pytest.skip(f"NO SANDBOX HERE: {error}")
    if server.level < level:
        server.stop()
        pytest.skip(f"NO {column.upper()} HERE: {'; '.join(server.isolation.below)}")
    return server


_VICTIM = """
import os, sys
sys.path.append(sys.argv[1])
from fitness.sandbox.inside import kernel
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
(kernel.hide if sys.argv[2] == "hide" else kernel.show)()
print("ready", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Victim:
    """A process of the plain user, with a secret in its environment; hidden as a launcher is."""

    process: subprocess.Popen[str]
    secret: str


@pytest.fixture(scope="session")
def known() -> Iterator[Mapping[str, object]]:
    """What attacks are told, so that only the sandbox stands in their way."""
    import importlib.util

    spec = importlib.util.find_spec("sklearn")
    packages = str(Path(spec.origin).parent.parent) if spec and spec.origin else ""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="material-"))
        stack.callback(shutil.rmtree, folder)
        folder.chmod(0o755)
        material = folder / "labels.txt"
        material.write_text("0 1 2 3")
        port = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        local = stack.enter_context(socket.socket(socket.AF_UNIX))
        local.bind(str(folder / "socket"))
        local.listen()
        (folder / "socket").chmod(0o777)
        launcher, other = victim("hide", SECRET), victim("show", secrets.token_hex(16))
        for each in (launcher, other):
            stack.callback(end, each.process)
        yield {
            "material": str(material),
            "packages": packages,
            "port": port.getsockname()[1],
            "socket": str(folder / "socket"),
            "launcher": launcher.process.pid,
            "secret": launcher.secret,
            "other_secret": other.secret,
            "left": f"left-{secrets.token_hex(4)}",
        }


def victim(how: str, secret: str) -> Victim:
    home = str(Path(__file__).resolve().parents[3])
    process = subprocess.Popen(
        [sys.executable, "-c", _VICTIM, home, how],
        env={"SECRET": secret, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return Victim(process, secret)


def end(process: subprocess.Popen[str]) -> None:
    process.communicate("")
