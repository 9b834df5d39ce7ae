"""The limits that a candidate finds itself under, at every level."""

from __future__ import annotations

from typing import Any

import pytest

from fitness.sandbox import Call, Level, Limits
from tests.fitness.sandbox.attacks import COLUMNS
from tests.fitness.sandbox.conftest import Servers

LOOK = """
import ctypes, os, resource, tempfile
def f():
    names = ("AS", "CPU", "FSIZE", "CORE", "NPROC")
    limits = {n: resource.getrlimit(getattr(resource, "RLIMIT_" + n)) for n in names}
    libc = ctypes.CDLL(None)
    files = []
    for fd in range(200):
        try:
            os.fstat(fd)
            files.append(fd)
        except OSError:
            pass
    return {
        "limits": limits,
        "files": len(files),
        "user": [os.getresuid(), os.getresgid(), os.getgroups()],
        "private": [libc.prctl(option, 0, 0, 0, 0) for option in (3, 39, 21)],
        "leader": os.getsid(0) == os.getpid(),
        "environment": sorted(os.environ),
        "scratch": tempfile.gettempdir() == os.getcwd() == os.environ["TMPDIR"],
        "tight": oct(os.stat(".").st_mode & 0o777),
        "stdin": os.read(0, 10).decode(),
    }
"""


@pytest.mark.parametrize("column", COLUMNS)
def test_what_a_candidate_is_left_with(column: str, servers: Servers) -> None:
    server = servers(column)
    limits = Limits(seconds=9.5, memory=1 << 30, file_bytes=12345)
    answer = server.run(Call({"m.py": LOOK}, "m:f", limits=limits))
    assert answer.error is None, answer
    seen: Any = answer.value
    bounds = seen["limits"]
    assert bounds["CPU"] == [11, 11]
    assert bounds["FSIZE"] == [12345, 12345]
    assert bounds["CORE"] == [0, 0]
    assert 1 << 30 < bounds["AS"][0] == bounds["AS"][1] < 1 << 34
    # the three standard ones, the request, the answer; and Python's folders by descriptor
    assert seen["files"] == 5 if server.level is not Level.OTHER_USER else seen["files"] < 12
    users, groups, others = seen["user"]
    assert len({*users, *groups}) == 1
    assert users[0] >= 61184
    assert others in ([], [65534])  # a user namespace keeps the group that it cannot name
    assert seen["private"] == [0, 1, 2]  # not dumpable, no new privileges, a filter
    assert seen["leader"]
    assert seen["scratch"]
    assert seen["tight"] == "0o700"
    assert seen["stdin"] == ""
    assert set(seen["environment"]) <= {
        "HOME", "LANG", "LC_CTYPE", "LD_LIBRARY_PATH", "MKL_NUM_THREADS", "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS", "PYTHONHASHSEED", "TMPDIR", "TORCHINDUCTOR_CACHE_DIR", "USER",
    }  # fmt: skip
