"""The system calls that evolved code may not make, as a classic BPF program. No library.

A list of what is denied, not of what is allowed: torch's needs change with each version, those
of an attack hardly do. What is denied answers EPERM, so that honest code gets an exception with
its line. Knows two architectures; numbers from the kernel's headers (linux 6.1).
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Sequence

# name: (x86_64, aarch64); None: the architecture has no such call
_DENIED: dict[str, tuple[int | None, int | None]] = {
    # the network: no socket is ever opened (socketpair stays)
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # new processes and programs (clone: see below)
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "uselib": (134, None),
    # other processes (kill, tgkill, prlimit64, sched_setaffinity: see below)
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    "setpriority": (141, 140),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "ioprio_set": (251, 30),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # memory that outlives its process
    "shmget": (29, 194),
    "shmat": (30, 196),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # mounts, namespaces, and files by another way than their path
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    # the kernel itself
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "syslog": (103, 116),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "personality": (135, 92),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    "lookup_dcookie": (212, 18),
}

# Denied for some arguments.
_CLONE, _CLONE3 = (56, 220), (435, 435)
_OF_A_PROCESS = {"kill": (62, 129), "tgkill": (234, 131)}  # its first argument: only itself
_OF_A_PROCESS_OR_0 = {"prlimit64": (302, 261), "sched_setaffinity": (203, 122)}
_OPTIONS = {  # (numbers), position of the option, the denied ones
    "fcntl": ((72, 25), 1, (8, 10, 15)),  # SETOWN, SETSIG, SETOWN_EX: signals to other processes
    "ioctl": ((16, 29), 1, (0x5412, 0x541C, 0x8901, 0x8902)),  # TIOCSTI, TIOCLINUX, ...SETOWN
    "prctl": ((157, 167), 0, (1,)),  # PDEATHSIG: it dies with its server
}

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_X32 = 0x40000000  # x86_64's second table of calls begins here
_CLONE_THREAD = 0x00010000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in `struct seccomp_data`
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS

_Code = list[tuple[int, int, int, int]]  # opcode, jump if true, jump if false, constant


def supported() -> bool:
    """Whether the calls of this machine's architecture are known."""
    return platform.machine() in _ARCHITECTURES


def program(pid: int, machine: str | None = None) -> bytes:
    """The filter for the process `pid`, as its own namespace numbers it."""
    architecture, column = _ARCHITECTURES[machine or platform.machine()]
    code: _Code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if column == 0:
        code += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _ENOSYS)]
    for numbers in _DENIED.values():
        code += _on(numbers[column], [(_RETURN, 0, 0, _EPERM)])
    # without clone3 the C library takes clone, whose flags a filter can read
    code += _on(_CLONE3[column], [(_RETURN, 0, 0, _ENOSYS)])
    threads_only = [(_ANY_BIT, 1, 0, _CLONE_THREAD), (_RETURN, 0, 0, _EPERM)]
    code += _on(_CLONE[column], [_low(0), *threads_only, (_RETURN, 0, 0, _ALLOW)])
    for numbers in _OF_A_PROCESS.values():
        code += _on(numbers[column], _unless(0, (pid,)))
    for numbers in _OF_A_PROCESS_OR_0.values():
        code += _on(numbers[column], _unless(0, (0, pid)))
    for numbers, position, denied in _OPTIONS.values():
        code += _on(numbers[column], _if(position, denied))
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _on(number: int | None, body: _Code) -> _Code:
    """`body`, which returns, for the call of that number."""
    return [] if number is None else [(_EQUAL, 0, len(body), number), *body]


def _low(position: int) -> tuple[int, int, int, int]:
    """Loads the low half of an argument, all that the kernel reads of an int; little endian."""
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * position)


def _unless(position: int, allowed: Sequence[int]) -> _Code:
    checks = [(_EQUAL, len(allowed) - i, 0, value) for i, value in enumerate(allowed)]
    return [_low(position), *checks, (_RETURN, 0, 0, _EPERM), (_RETURN, 0, 0, _ALLOW)]


def _if(position: int, denied: Sequence[int]) -> _Code:
    checks = [(_EQUAL, len(denied) - i, 0, value) for i, value in enumerate(denied)]
    return [_low(position), *checks, (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _EPERM)]
