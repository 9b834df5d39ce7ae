"""In forks, since nothing of it can be undone."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from fitness.sandbox.inside import kernel, seccomp


def forked(body: Callable[[], object]) -> str:
    """What `body` returned in a fork of this process, or the name of what it raised."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            said = str(body())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(write, said.encode()[:4000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        said = stream.read().decode()
    os.waitpid(pid, 0)
    return said


def status(name: str) -> str:
    with open("/proc/self/status") as file:
        return next(line.split(":")[1].strip() for line in file if line.startswith(f"{name}:"))


def test_no_new_privileges_and_a_filter() -> None:
    def body() -> object:
        kernel.no_new_privileges()
        kernel.filter_syscalls(seccomp.program(os.getpid()))
        try:
            os.fork()
        except PermissionError:
            return status("NoNewPrivs"), status("Seccomp")

    assert forked(body) == "('1', '2')"


def test_no_capability_is_left() -> None:
    def body() -> object:
        kernel.drop_bounding_set()
        kernel.drop_capabilities()
        return {status(name) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")}

    assert forked(body) == "{'0000000000000000'}"


def test_hidden_and_shown() -> None:
    def body() -> object:
        owners = []
        for change in (kernel.hide, kernel.show):
            change()
            owners.append(os.stat("/proc/self/environ").st_uid)
        return owners

    assert forked(body) == f"[0, {os.getuid()}]"


def test_what_is_refused_is_named() -> None:
    assert forked(lambda: kernel.mount("none", "/no-such-place", "tmpfs")).startswith(
        ("FileNotFoundError: [Errno 2] mount /no-such-place", "PermissionError: [Errno 1] mount")
    )
    with pytest.raises(OSError, match="setns"):
        kernel.setns(-1, kernel.NEWPID)
    with pytest.raises(OSError, match="umount"):
        kernel.unmount("/no-such-place")
    with pytest.raises(OSError, match="pivot_root"):
        kernel.pivot_root("/no-such-place", "/no-such-place")
    with pytest.raises(OSError, match="unshare"):
        kernel.unshare(1)
