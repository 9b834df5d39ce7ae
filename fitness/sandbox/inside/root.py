"""Namespaces, and a root directory that holds nothing but what it is shown. The server's part.

Knows no candidate. Everything raises `OSError` where the machine does not permit it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import kernel

BOX = "/box"  # where each candidate's own directory is mounted
NOBODY = 65534

_TAME = kernel.MS_NOSUID | kernel.MS_NODEV

_DEVICES = ("null", "zero", "full", "random", "urandom")
_COPIED = ("/proc/cpuinfo", "/proc/meminfo")  # libraries size themselves by these two
# flags of a mount that a user namespace may not take away
_KEPT = {
    os.ST_NOSUID: kernel.MS_NOSUID,
    os.ST_NODEV: kernel.MS_NODEV,
    os.ST_NOEXEC: kernel.MS_NOEXEC,
    os.ST_NOATIME: 1 << 10,
    os.ST_NODIRATIME: 1 << 11,
    os.ST_RELATIME: 1 << 21,
}


def leave() -> str:
    """Enters namespaces of its own and returns how; the next process it forks is PID 1 there."""
    kinds = kernel.NEWNS | kernel.NEWNET | kernel.NEWIPC | kernel.NEWUTS | kernel.NEWPID
    try:
        kernel.unshare(kinds)
        how = "namespaces"
    except PermissionError:
        uid, gid = os.geteuid(), os.getegid()
        kernel.unshare(kernel.NEWUSER | kinds)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{NOBODY} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{NOBODY} {gid} 1")
        how = "user namespace with"
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)  # what we mount stays ours
    socket.sethostname("box")
    return f"{how} net pid ipc uts mnt"


def change(
    base: str,
    links: Mapping[str, str],
    shown: Sequence[tuple[str, bool]],
    devices: Sequence[str] = (),
) -> None:
    """Makes a new root directory of read-only `shown`; the old one is gone.

    base: an empty directory where it is put together. links: symbolic links, by path. shown:
    (path, True), in this order, or (path, False) for a directory that is to look empty.
    devices: of a GPU; its library then also needs a /proc (of these namespaces) and /sys.
    """
    kernel.mount("none", base, "tmpfs", _TAME, "size=4m,mode=755")
    for path, target in links.items():
        Path(base + path).parent.mkdir(parents=True, exist_ok=True)
        Path(base + path).symlink_to(target)
    for path, visible in shown:
        if visible:
            _bind(path, base + path, kernel.MS_RDONLY | _TAME)
        else:
            kernel.mount("none", base + path, "tmpfs", _TAME, "size=1m,mode=755")
    for device in (*(f"/dev/{name}" for name in _DEVICES), *devices):
        _bind(device, base + device, kernel.MS_NOSUID)
    os.mkdir(base + "/proc")
    if devices:
        flags = _TAME | kernel.MS_NOEXEC
        kernel.mount("none", base + "/proc", "proc", flags)
        _bind("/sys", base + "/sys", kernel.MS_RDONLY | flags)
    else:
        for path in _COPIED:
            Path(base + path).write_bytes(Path(path).read_bytes())
    for directory in (BOX, "/tmp", "/old"):
        Path(base + directory).mkdir()
    kernel.mount("none", base + "/tmp", "tmpfs", _TAME, "size=1m,mode=755")
    os.chdir(base)
    kernel.pivot_root(".", "old")
    os.chdir("/")
    kernel.unmount("/old")
    os.rmdir("/old")
    for path in ("/", *(path for path, visible in shown if not visible)):
        _close(path)


def close_tmp() -> None:
    """Nobody writes into /tmp any more; until then the server may."""
    _close("/tmp")


def _close(path: str) -> None:
    flags = kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY
    kernel.mount("none", path, "", flags | _TAME)


def _bind(source: str, target: str, flags: int) -> None:
    """`source`, a directory or a file, is at `target` too, with these flags."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        Path(target).touch()
    kernel.mount(source, target, "", kernel.MS_BIND | kernel.MS_REC)
    has = os.statvfs(target).f_flag
    kept = sum(mine for theirs, mine in _KEPT.items() if has & theirs and not flags & mine)
    kernel.mount("none", target, "", kernel.MS_BIND | kernel.MS_REMOUNT | flags | kept)
