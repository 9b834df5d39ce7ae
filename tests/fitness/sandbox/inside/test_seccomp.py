"""The filter's verdicts for both architectures, by an interpreter of classic BPF."""

from __future__ import annotations

import errno
import struct

import pytest

from fitness.sandbox.inside import seccomp

ALLOW, KILL = 0x7FFF0000, 0x80000000
EPERM, ENOSYS = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PID = 7

# name, (x86_64, aarch64), arguments, verdict
CASES = [
    ("read", (0, 63), (0,), ALLOW),
    ("openat", (257, 56), (0,), ALLOW),
    ("mmap", (9, 222), (0,), ALLOW),
    ("socketpair", (53, 199), (1,), ALLOW),
    ("socket", (41, 198), (2,), EPERM),
    ("execve", (59, 221), (0,), EPERM),
    ("ptrace", (101, 117), (16,), EPERM),
    ("bpf", (321, 280), (0,), EPERM),
    ("clone a thread", (56, 220), (0x3D0F00,), ALLOW),
    ("clone a process", (56, 220), (17,), EPERM),
    ("clone3", (435, 435), (0,), ENOSYS),
    ("kill itself", (62, 129), (PID, 6), ALLOW),
    ("kill another", (62, 129), (PID + 1, 9), EPERM),
    ("kill its group", (62, 129), (0, 9), EPERM),
    ("kill all", (62, 129), (2**64 - 1, 9), EPERM),
    ("abort", (234, 131), (PID, 9, 6), ALLOW),
    ("tgkill another", (234, 131), (1, 1, 9), EPERM),
    ("its own limits", (302, 261), (0, 7), ALLOW),
    ("its own limits, by number", (302, 261), (PID, 7), ALLOW),
    ("another's limits", (302, 261), (1, 0), EPERM),
    ("fcntl DUPFD", (72, 25), (3, 0), ALLOW),
    ("fcntl SETOWN", (72, 25), (3, 8), EPERM),
    ("fcntl SETOWN_EX", (72, 25), (3, 15), EPERM),
    ("ioctl TCGETS", (16, 29), (1, 0x5401), ALLOW),
    ("ioctl TIOCSTI", (16, 29), (0, 0x5412), EPERM),
    ("ioctl TIOCSTI with high bits", (16, 29), (0, 1 << 32 | 0x5412), EPERM),
    ("prctl SET_NAME", (157, 167), (15,), ALLOW),
    ("prctl PDEATHSIG", (157, 167), (1, 0), EPERM),
]


def verdict(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What the kernel would do with that call."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    code = list(struct.iter_unpack("=HBBI", program))
    at = held = 0
    while True:
        operation, true, false, constant = code[at]
        at += 1
        if operation == 0x20:
            (held,) = struct.unpack_from("<I", data, constant)
        elif operation == 0x06:
            return constant
        else:
            holds = {
                0x15: held == constant,
                0x35: held >= constant,
                0x45: bool(held & constant),
            }[operation]
            at += true if holds else false


@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize(("name", "numbers", "arguments", "expected"), CASES)
def test_verdicts(
    machine: str, name: str, numbers: tuple[int, int], arguments: tuple[int, ...], expected: int
) -> None:
    program = seccomp.program(PID, machine)
    number = numbers[list(ARCHITECTURES).index(machine)]
    assert verdict(program, ARCHITECTURES[machine], number, *arguments) == expected


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_another_architecture_ends_the_process(machine: str) -> None:
    """The same processor's 32-bit mode counts its calls differently."""
    i386 = 0x40000003
    assert verdict(seccomp.program(PID, machine), i386, 20) == KILL


def test_the_second_table_of_x86_64_is_not_there() -> None:
    program = seccomp.program(PID, "x86_64")
    assert verdict(program, ARCHITECTURES["x86_64"], 0x40000000 + 41, 2) == ENOSYS


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_kernel_takes_no_longer_program(machine: str) -> None:
    assert len(seccomp.program(PID, machine)) // 8 < 4096
