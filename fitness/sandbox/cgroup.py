"""A control group for one server's candidates, where the machine lets us make one (v1 and v2).

Knows no process: who writes to `entrances` goes in. It lies below the group that this process is
in, or beside it where version 2 permits no other place, and is removed at the end.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PREFIX = "evolve-sandbox-"
N_PROCESSES = 512  # threads count

_made = itertools.count()


@dataclass(frozen=True)
class Cgroup:
    """Folders of one version that hold the limits of memory and of processes."""

    version: int
    folders: tuple[Path, ...]

    @property
    def entrances(self) -> tuple[Path, ...]:
        """Files into which a process writes "0" to enter."""
        return tuple(folder / "cgroup.procs" for folder in self.folders)

    def limit(self, memory: int) -> None:
        """At most `memory` bytes for all processes together. Raises `OSError`."""
        if self.version == 2:
            (self.folders[0] / "memory.max").write_text(str(memory))
        else:
            (self.folders[0] / "memory.limit_in_bytes").write_text(str(memory))

    def n_killed(self) -> int:
        """How many processes were killed for memory so far."""
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        lines = (self.folders[0] / name).read_text().splitlines()
        counts = dict(line.split() for line in lines)
        return int(counts.get("oom_kill", 0))

    def remove(self) -> None:
        """It is gone, unless a process is in it."""
        for folder in self.folders:
            with suppress(OSError):
                folder.rmdir()


def make(
    mounted: Path = Path("/sys/fs/cgroup"), process: Path = Path("/proc/self")
) -> Cgroup | None:
    """A group of this process's own, or None where that is not permitted."""
    name = f"{PREFIX}{os.getpid()}-{next(_made)}"
    try:
        own = _own(process / "cgroup")
    except OSError:
        return None
    if "memory" in own and "pids" in own:
        return _first_version(
            [_inside(mounted / kind, own[kind]) for kind in ("memory", "pids")], name
        )
    if "" in own and (mounted / "cgroup.controllers").exists():
        folder = _inside(mounted, own[""])
        return _second_version([folder, folder.parent] if folder != mounted else [folder], name)
    return None


def _own(listing: Path) -> dict[str, str]:
    """This process's group by controller; "" is that of version 2."""
    lines = [line.split(":", 2) for line in listing.read_text().splitlines()]
    return {kind: path for _, kinds, path in lines for kind in kinds.split(",")}


def _inside(mounted: Path, path: str) -> Path:
    """The group's folder; in a container the path may be one of the host's: then the top."""
    folder = mounted / path.lstrip("/")
    return folder if folder.exists() else mounted


def _first_version(parents: list[Path], name: str) -> Cgroup | None:
    group = Cgroup(1, tuple(parent / name for parent in parents))
    try:
        for parent, folder in zip(parents, group.folders):
            _tidy(parent)
            folder.mkdir()
        (group.folders[1] / "pids.max").write_text(str(N_PROCESSES))
        group.n_killed()
    except (OSError, ValueError):
        group.remove()
        return None
    return group


def _second_version(parents: list[Path], name: str) -> Cgroup | None:
    """A group takes limits if its parent hands them on, which one with processes may not."""
    for parent in parents:
        group = Cgroup(2, (parent / name,))
        try:
            _tidy(parent)
            with suppress(OSError):
                (parent / "cgroup.subtree_control").write_text("+memory +pids")
            group.folders[0].mkdir()
            (group.folders[0] / "pids.max").write_text(str(N_PROCESSES))
            group.n_killed()
            return group
        except (OSError, ValueError):
            group.remove()
    return None


def _tidy(parent: Path) -> None:
    """Removes groups whose makers are gone."""
    for folder, pid in _ours(parent):
        if not Path(f"/proc/{pid}").exists():
            with suppress(OSError):
                folder.rmdir()


def _ours(parent: Path) -> Iterator[tuple[Path, str]]:
    for folder in parent.glob(f"{PREFIX}*"):
        yield folder, folder.name.removeprefix(PREFIX).partition("-")[0]
