"""The Linux calls that Python 3.11 lacks, through ctypes; numbers from the kernel's headers.

Knows no policy. Every function raises `OSError` with the call's name if the kernel refuses.
"""

from __future__ import annotations

import ctypes
import os

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
    0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2

_SET_PDEATHSIG, _SET_DUMPABLE, _SET_SECCOMP, _CAPBSET_DROP = 1, 4, 22, 24
_SET_NO_NEW_PRIVS, _CAP_AMBIENT = 38, 47
_CAP_AMBIENT_CLEAR_ALL = 4
_SECCOMP_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_POSSIBLE_CAPABILITY = 63

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Leaves the namespaces in `flags` for new ones."""
    _checked("unshare", _libc.unshare(ctypes.c_int(flags)))


def setns(fd: int, kind: int) -> None:
    """Enters the namespace that `fd` is open on."""
    _checked("setns", _libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)))


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    done = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    _checked(f"mount {target}", done)


def unmount(target: str) -> None:
    """Detaches what is mounted at `target`."""
    _checked(f"umount {target}", _libc.umount2(os.fsencode(target), MNT_DETACH))


def pivot_root(new: str, old: str) -> None:
    """Makes `new` the root; the old one is then at `old`."""
    done = _libc.pivot_root(os.fsencode(new), os.fsencode(old))
    _checked("pivot_root", done)


def hide() -> None:
    """Makes this process undumpable: no other of its user reads its memory or environment."""
    _prctl(_SET_DUMPABLE, 0)


def show() -> None:
    """Makes it dumpable again, as its user's own /proc entries need."""
    _prctl(_SET_DUMPABLE, 1)


def die_with_parent() -> None:
    """SIGKILL to this process when the thread that forked it ends."""
    _prctl(_SET_PDEATHSIG, 9)


def no_new_privileges() -> None:
    """No program that is executed from now on can gain a right."""
    _prctl(_SET_NO_NEW_PRIVS, 1)


def drop_bounding_set() -> None:
    """No program executed from now on has a capability; a no-op where that is not permitted."""
    for capability in range(_LAST_POSSIBLE_CAPABILITY + 1):
        if _libc.prctl(_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0):
            return  # beyond the last one, or not permitted


def drop_capabilities() -> None:
    """Empties the permitted, effective, inheritable and ambient sets."""
    _libc.prctl(_CAP_AMBIENT, ctypes.c_ulong(_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _checked("capset", _libc.capset(ctypes.byref(header), ctypes.byref(nothing)))


def filter_syscalls(program: bytes) -> None:
    """Installs a classic BPF program for this thread; `no_new_privileges` comes before."""
    buffer = ctypes.create_string_buffer(program, len(program))
    described = _Program(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    _prctl(_SET_SECCOMP, _SECCOMP_FILTER, ctypes.addressof(described))


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _prctl(option: int, value: int, pointer: int = 0) -> None:
    zero = ctypes.c_ulong(0)
    done = _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(pointer), zero, zero)
    _checked(f"prctl {option}", done)


def _checked(name: str, result: int) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
