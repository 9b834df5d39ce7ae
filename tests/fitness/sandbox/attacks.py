"""What hostile code tries, as sources, and what shows that it failed. Printed as a table:

    python -m tests.fitness.sandbox.attacks

The table is what `test_attacks.py` asserts of the real sandbox, cell by cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fitness.sandbox import Answer, Gap, Level, Limits

BELOW = frozenset({Level.PLAIN, Level.OTHER_USER})
MIB = 1 << 20


@dataclass(frozen=True)
class Attack:
    """`body` is that of a function `f(**known)`; `blocked` judges its answer.

    open_at: the levels at which it succeeds, and then `gap` is reported.
    """

    name: str
    body: str
    blocked: Callable[[Answer], bool]
    open_at: frozenset[Level] = frozenset()
    gap: Gap | None = None
    limits: Limits = field(default_factory=lambda: Limits(seconds=5, memory=1 << 30))

    @property
    def source(self) -> str:
        lines = "".join(f"    {line}\n" for line in self.body.strip().splitlines())
        return f"import os, sys\n{HELP}\ndef f(**known):\n{lines}"


# tried: the names of what was not refused. send: writes an answer past the code that does so.
HELP = """
def tried(*actions):
    done = []
    for name, action in actions:
        try:
            action()
            done.append(name)
        except Exception:
            pass
    return done

def send(data):
    for fd in range(3, 64):
        try:
            while data:
                data = data[os.write(fd, data):]
            os._exit(0)
        except OSError:
            pass
"""


def error(start: str) -> Callable[[Answer], bool]:
    return lambda answer: answer.error is not None and answer.error.startswith(start)


def value(expected: object) -> Callable[[Answer], bool]:
    return lambda answer: answer.error is None and answer.value == expected


ATTACKS = (
    Attack(
        "infinite loop", "while True: pass", error("timeout: "), limits=Limits(seconds=0.5)
    ),
    Attack(
        "infinite loop that catches everything",
        """
import signal
for number in range(1, 32):
    if number not in (9, 19):
        signal.signal(number, signal.SIG_IGN)
while True:
    try:
        while True: pass
    except BaseException: pass
""",
        error("timeout: "),
        limits=Limits(seconds=0.5),
    ),
    Attack(
        "allocation bomb",
        """
held = []
while True: held.append(b"x" * (16 << 20))
""",
        error("out of memory: "),
        limits=Limits(seconds=5, memory=256 * MIB),
    ),
    Attack(
        "thread bomb",
        """
import threading, time
try:
    for _ in range(5000): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
except (RuntimeError, MemoryError):
    pass
return threading.active_count() > 1000
""",
        value(False),
    ),
    Attack(
        "fork bomb",
        """
def bomb():
    for _ in range(20): os.fork()
return tried(("fork", bomb))
""",
        value([]),
    ),
    Attack(
        "double-fork escape",
        """
import ctypes, multiprocessing, subprocess, time
def escape():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(60)
        os._exit(0)
def clone(flags):
    if ctypes.CDLL(None, use_errno=True).syscall(56, flags, 0, 0, 0, 0) < 0: raise OSError
return tried(
    ("fork", escape),
    ("clone", lambda: clone(17)),
    ("vfork", lambda: clone(0x4111)),
    ("spawn", lambda: os.posix_spawn("/bin/sleep", ["sleep", "60"], {})),
    ("popen", lambda: subprocess.Popen([sys.executable, "-c", "0"])),
    ("exec", lambda: os.execv(sys.executable, [sys.executable])),
    ("multiprocessing", lambda: multiprocessing.get_context("fork").Process().start()),
)
""",
        value([]),
    ),
    Attack(
        "writing a huge file",
        """
n = 0
try:
    with open("huge", "wb", 0) as file:
        while n < 1 << 30: n += file.write(bytes(1 << 16))
except OSError:
    pass
return n > 1 << 20
""",
        value(False),
        limits=Limits(seconds=5, file_bytes=MIB),
    ),
    Attack(
        "writing many files",
        """
n = 0
try:
    for i in range(8):
        with open(f"file{i}", "wb", 0) as file: n += file.write(bytes(1 << 20))
except OSError:
    pass
return n > 1 << 20
""",
        value(False),
        BELOW,
        Gap.DISK,
        Limits(seconds=5, file_bytes=MIB),
    ),
    Attack(
        "reading the launcher's environment through /proc",
        """
def read(path):
    if known["secret"].encode() not in open(path, "rb").read(): raise OSError
def memory(pid):
    open(f"/proc/{pid}/mem", "rb")
return tried(
    ("environment", lambda: read(f"/proc/{known['launcher']}/environ")),
    ("memory", lambda: memory(known["launcher"])),
    ("server's memory", lambda: memory(os.getppid())),
    ("own", lambda: [read(f"/proc/{name}/environ") for name in ("self", 1, os.getpid())]),
    ("inherited", lambda: os.environ["SECRET"]),
)
""",
        value([]),
    ),
    Attack(
        "reading the environment of its user's other processes",
        """
found = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        if known["other_secret"].encode() in open(f"/proc/{pid}/environ", "rb").read():
            found.append("environment")
    except OSError:
        pass
return found
""",
        value([]),
        frozenset({Level.PLAIN}),
        Gap.PROCESSES,
    ),
    Attack(
        "connecting to the Ray port, or to any host",
        """
import socket
def to(family, kind, address):
    with socket.socket(family, kind) as opened:
        opened.settimeout(1)
        opened.connect(address)
return tried(
    ("tcp", lambda: to(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", known["port"]))),
    ("tcp6", lambda: to(socket.AF_INET6, socket.SOCK_STREAM, ("::1", known["port"]))),
    ("udp", lambda: to(socket.AF_INET, socket.SOCK_DGRAM, ("192.0.2.1", 53))),
    ("unix", lambda: to(socket.AF_UNIX, socket.SOCK_STREAM, known["socket"])),
    ("create", lambda: socket.create_connection(("127.0.0.1", known["port"]), 1)),
    ("listen", lambda: socket.create_server(("127.0.0.1", 0))),
)
""",
        value([]),
    ),
    Attack(
        "reading files outside, the material cache among them",
        """
return tried(
    ("material", lambda: open(known["material"]).read()),
    ("through /proc", lambda: open("/proc/self/root" + known["material"]).read()),
    ("upwards", lambda: open("../" * 20 + known["material"]).read()),
)
""",
        value([]),
        BELOW,
        Gap.FILES,
    ),
    Attack(
        "importing a package that ships the labels",
        """
import gzip, importlib.util
sys.path.append(known["packages"])
spec = importlib.util.find_spec("sklearn")
if spec is None: return []
return tried(
    ("labels", lambda: gzip.open(
        os.path.join(os.path.dirname(spec.origin), "datasets", "data", "digits.csv.gz")).read())
)
""",
        value([]),
        BELOW,
        Gap.PACKAGES,
    ),
    Attack(
        "leaving a file for the next candidate",
        """
return tried(*[(place, lambda place=place: open(f"{place}/{known['left']}", "w"))
               for place in ("/", "/tmp", "/dev", "/dev/shm", "/usr/lib", known["packages"])])
""",
        value([]),
        BELOW,
        Gap.FILES,
    ),
    Attack(
        "`os._exit(0)` with a forged answer on stdout",
        """
print('J{"accuracy": 1.0}', flush=True)
os._exit(0)
""",
        error("invalid: exited with status 0 without an answer"),
    ),
    Attack(
        "a pickle as answer",
        """
import io, pickle, zipfile
import numpy as np
class Bomb:
    def __reduce__(self): return os.mkdir, (known["left"],)
file = io.BytesIO()
np.savez(file, weights=np.array([Bomb()], dtype=object))
send(b"N" + file.getvalue())
""",
        error("invalid: "),
    ),
    Attack(
        "a zip bomb as answer",
        """
import io, zipfile
file = io.BytesIO()
with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
    opened.writestr("weights.npy", bytes(16 << 20))
send(b"N" + file.getvalue())
""",
        error("invalid: "),
    ),
    Attack(
        "an array whose header claims more than it holds",
        """
import io, zipfile
import numpy as np
member = io.BytesIO()
np.lib.format.write_array_header_1_0(
    member, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40,)})
file = io.BytesIO()
with zipfile.ZipFile(file, "w") as opened: opened.writestr("weights.npy", member.getvalue())
send(b"N" + file.getvalue())
""",
        error("invalid: "),
    ),
    Attack(
        "an answer without end",
        "send(b'J' + b'[' * (8 << 20))",
        error("invalid: "),
        limits=Limits(seconds=5, answer_bytes=MIB),
    ),
    Attack(
        "1 GB of output",
        """
chunk = b"x" * (1 << 20)
for _ in range(1000): os.write(1, chunk)
return True
""",
        lambda answer: answer.value is True and len(answer.output) < (64 << 10) + 100,
        limits=Limits(seconds=20),
    ),
    Attack(
        "killing the server, its launcher or everything",
        """
import ctypes, fcntl, resource, signal
libc = ctypes.CDLL(None, use_errno=True)
def call(*numbers):
    if libc.syscall(*numbers) < 0: raise OSError
def own(pid):
    if pid <= 0: raise OSError
    fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, pid)
targets = [os.getppid(), known["launcher"], known["server"], -1, 0]
return tried(
    *[(f"kill {pid}", lambda pid=pid: os.kill(pid, 9) if pid != os.getpid() else 1 / 0)
      for pid in targets],
    *[(f"limit {pid}", lambda pid=pid: resource.prlimit(pid, resource.RLIMIT_CPU, (0, 0)))
      for pid in targets[:3] if pid > 0],
    *[(f"own {pid}", lambda pid=pid: own(pid)) for pid in targets[:3]],
    ("pidfd", lambda: os.pidfd_open(os.getppid() or 1)),
    ("ptrace", lambda: call(101, 16, os.getppid() or 1, 0, 0)),
    ("read memory", lambda: call(310, os.getppid() or 1, 0, 0, 0, 0, 0)),
)
""",
        value([]),
    ),
    Attack(
        "leaving the sandbox by the kernel's other doors",
        """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def call(*numbers):
    if libc.syscall(*numbers) < 0: raise OSError
return tried(
    ("user namespace", lambda: call(272, 0x10000000)),
    ("mount", lambda: call(165, b"none", b"/dev", b"tmpfs", 0, 0)),
    ("chroot", lambda: os.chroot(".")),
    ("root again", lambda: os.setuid(0) if os.getuid() else 1 / 0),
    ("bpf", lambda: call(321, 0, 0, 0)),
    ("io_uring", lambda: call(425, 8, bytes(120))),
    ("memfd", lambda: os.memfd_create("x")),
    ("shared memory", lambda: call(29, 0, 4096, 0o1600)),
    ("keyring", lambda: call(250, 0, -3, 1)),
    ("x32", lambda: call(0x40000000 + 41, 2, 1, 0)),
    ("outlive the server", lambda: call(157, 1, 0, 0, 0, 0)),
    ("device", lambda: os.mknod("disk", 0o60600, os.makedev(254, 0))),
)
""",
        value([]),
    ),
)  # fmt: skip

COLUMNS: Mapping[str, Level] = {
    "full (root)": Level.FULL,
    "full (plain user, user namespaces)": Level.FULL,
    "root without namespaces": Level.OTHER_USER,
    "plain user": Level.PLAIN,
}


def cell(attack: Attack, level: Level) -> str:
    return "not blocked, reported" if level in attack.open_at else "blocked"


def table() -> str:
    """The attacks against the levels, in Markdown."""
    rows = [["attack", *COLUMNS], ["---"] * (len(COLUMNS) + 1)]
    rows += [
        [attack.name, *(cell(attack, level) for level in COLUMNS.values())] for attack in ATTACKS
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    print(table())
