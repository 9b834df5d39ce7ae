"""What evolved code may see of the file system: the interpreter, torch, numpy and scipy.

Of installed packages only those that these three require are listed, by their own metadata, so
that a package that ships data (and labels) is not there. Knows no namespace.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import sysconfig
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

WANTED = ("torch", "numpy", "scipy")
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
_OTHERS = ("/etc/ld.so.cache", "/etc/localtime")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Visible:
    """links, shown: as `inside.root.change` takes them. packages: folders for `sys.path`."""

    links: dict[str, str]
    shown: tuple[tuple[str, bool], ...]
    packages: tuple[str, ...]


@lru_cache(maxsize=1)
def visible() -> Visible:
    """What is shown on this machine to this interpreter's candidates."""
    distributions, packages = _distributions()
    links: dict[str, str] = {}
    folders: list[str] = []
    bases = (sys.base_prefix, sys.base_exec_prefix)
    homes = [f"{base}/{name}" for base in bases for name in ("lib", "lib64")]
    for place in (*_LIBRARIES, *homes, sysconfig.get_path("stdlib")):
        if os.path.islink(place):
            links[place] = os.readlink(place)
        elif os.path.isdir(place) and not any(_within(place, folder) for folder in folders):
            folders.append(place)
    covered = [
        str(path)
        for folder in folders
        for kind in ("site-packages", "dist-packages")
        for path in [*Path(folder).glob(f"python*/{kind}"), Path(folder, kind)]
        if path.is_dir()
    ]
    others = [place for place in _OTHERS if os.path.exists(place)]
    shown = [(place, True) for place in (*folders, *others)]
    shown += [(place, False) for place in covered]
    shown += [(place, True) for place in distributions]
    return Visible(links, tuple(shown), packages)


def _within(place: str, folder: str) -> bool:
    return Path(place).is_relative_to(folder)


def _distributions() -> tuple[list[str], tuple[str, ...]]:
    """The files and folders of the wanted packages and of all they require; where they lie."""
    found: dict[str, None] = {}
    packages: dict[str, None] = {}
    known: set[str] = set()
    names = list(WANTED)
    while names:
        name = re.sub(r"[-_.]+", "-", names.pop()).lower()
        if name in known:
            continue
        known.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # required on other machines only
        home = str(distribution.locate_file(""))
        packages[home] = None
        tops = {file.parts[0] for file in distribution.files or ()}
        for top in sorted(tops - {"..", "__pycache__"}):
            if os.path.exists(f"{home}/{top}"):
                found[f"{home}/{top}"] = None
        for requirement in distribution.requires or ():
            if "extra ==" not in requirement and (match := _NAME.match(requirement)):
                names.append(match.group())
    return list(found), tuple(packages)
