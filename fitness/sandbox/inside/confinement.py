"""Confines the process that is about to run evolved code, for good. The candidate's part.

Called in a fresh fork of the server, in this order; what fails raises `OSError`, and nothing of
the candidate's has run then.
"""

from __future__ import annotations

import math
import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from . import kernel, root, seccomp

_THREADS = 512
_INODES = 10_000


@dataclass(frozen=True)
class Confines:
    """How a server confines every candidate; `limits` are those of one call.

    full: namespaces and a private root are there. uid: the user to become, None to stay. base:
    address space in bytes that a fork has from the start. gpu: CUDA maps more addresses than
    there is memory, locks pages, and spins.
    """

    full: bool
    uid: int | None
    base: int
    gpu: bool = False


def own_session(output: int, cgroups: Sequence[int], kept: set[int]) -> None:
    """A session of its own, its output to `output`, no descriptor but `kept`; its cgroups."""
    os.setsid()
    for fd in cgroups:
        os.write(fd, b"0")  # the process that writes it
    for standard in (1, 2):
        os.dup2(output, standard)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    below = 3
    for fd in [*sorted(kept), os.sysconf("SC_OPEN_MAX")]:
        os.closerange(below, fd)
        below = fd + 1
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)


def make_box(confines: Confines, box: str) -> None:
    """The server's part before the fork: a directory for one candidate, where there is none."""
    if confines.full:
        return
    os.mkdir(box, 0o700)
    if confines.uid is not None:
        os.chown(box, confines.uid, confines.uid)


def remove_box(confines: Confines, box: str) -> None:
    """The server's part after the candidate's end. A private mount has gone with its namespace."""
    if not confines.full:
        with suppress(RecursionError):  # a tree deeper than Python recurses is left: it is small
            shutil.rmtree(box, ignore_errors=True)


def confine(confines: Confines, limits: dict[str, Any], box: str) -> None:
    """After this, the process can do nothing but compute, and write into `box` and its pipes."""
    uid = root.NOBODY if confines.uid is None else confines.uid
    if confines.full:
        kernel.unshare(kernel.NEWNS | kernel.NEWNET | kernel.NEWIPC | kernel.NEWUTS)
        flags = kernel.MS_NOSUID | kernel.MS_NODEV
        options = f"size={limits['file_bytes']},nr_inodes={_INODES},mode=700,uid={uid},gid={uid}"
        kernel.mount("none", box, "tmpfs", flags, options)
    _limit(confines, limits)
    kernel.drop_bounding_set()
    if confines.uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    os.chdir(box)
    os.umask(0o077)
    kernel.drop_capabilities()
    kernel.hide()
    kernel.die_with_parent()  # after the change of user, which would undo it
    kernel.no_new_privileges()
    kernel.filter_syscalls(seccomp.program(os.getpid()))
    os.environ.update(HOME=box, TMPDIR=box)
    tempfile.tempdir = box


def _limit(confines: Confines, limits: dict[str, Any]) -> None:
    bounds = {
        resource.RLIMIT_FSIZE: limits["file_bytes"],
        resource.RLIMIT_NOFILE: 1024,
        resource.RLIMIT_CORE: 0,
    }
    if not confines.gpu:
        bounds[resource.RLIMIT_AS] = confines.base + limits["memory"]
        bounds[resource.RLIMIT_MEMLOCK] = 0
        bounds[resource.RLIMIT_CPU] = math.ceil(limits["seconds"]) + 1
    if confines.uid is not None:  # else it would count what else its user runs
        bounds[resource.RLIMIT_NPROC] = _THREADS
    for which, bound in bounds.items():
        hardest = resource.getrlimit(which)[1]
        least = bound if hardest == resource.RLIM_INFINITY else min(bound, hardest)
        resource.setrlimit(which, (least, least))
