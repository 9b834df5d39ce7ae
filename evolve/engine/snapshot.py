"""The experiment's code as one content-hashed archive: which modules workers are sent.

All that is neither Python's own, nor installed, nor evolve's: modules loaded now, packages with
their whole tree, what the experiment's text imports later, and the modules beside its file. Data
is not sent. Knows no Ray; how the archive is unfolded in a worker: `unfold`. Classes and
functions of `__main__` travel by value (cloudpickle), not from here.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import keyword
import os
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType

from evolve.engine.unfold import HOME, OURS, content_hash, folded, tree
from evolve.errors import ExperimentError

MOST_FILES = 2_000
MOST_BYTES = 32 << 20
_UNASKED = {".py", ".pyc", ".pyi", ".typed", ".md", ".rst"}  # no code opens these


@dataclass(frozen=True)
class Snapshot:
    """`archive`: a zip of `files`, the same bytes for the same content.

    `sha256` (hex) names everything sent. `loaded_sha256` is over the modules that the experiment
    imports, at once or later, and those that they import in turn: what a resume compares, as
    neither a changed script beside the experiment nor what else this process happens to have
    loaded changes a result. It follows `import` statements wherever they stand; modules named in
    text (`import_module("x")`) are sent if they are loaded, but not compared. `roots`: where all
    this lies here, in the order of the path.
    """

    sha256: str
    loaded_sha256: str
    archive: bytes
    files: tuple[str, ...]
    roots: tuple[str, ...]
    warnings: tuple[str, ...]


def snapshot(file: Path | None, modules: Iterable[str] = ()) -> Snapshot:
    """What workers need to import, once the experiment in `file` was imported by its stem.

    `modules`: names of further ones to send and to compare. Without `file` and `modules` all
    that is loaded is compared. Raises `ExperimentError` for too much code, for code that cannot
    be read, and for a module beside the experiment that shadows one of evolve's packages.
    """
    code = _Code()
    loaded = [name for name, module in sorted(sys.modules.items()) if code.took(name, module)]
    if file is not None:
        code.take_beside(file.resolve())
    starts = [*([] if file is None else [file.stem]), *modules]
    reached = code.reached(starts) if starts else {at for name in loaded for at in code.at(name)}
    content = code.content
    return Snapshot(
        sha256=content_hash(content),
        loaded_sha256=content_hash({at: content[at] for at in reached}),
        archive=folded(content),
        files=tuple(sorted(content)),
        roots=tuple(sorted(code.roots, key=_place_on_path)),
        warnings=(*code.says, *code.left_behind(reached)),
    )


@dataclass
class _Code:
    """What was found: content by its path in the archive, such as `package/module.py`."""

    content: dict[str, bytes] = field(default_factory=dict)
    packages: set[tuple[str, Path]] = field(default_factory=set)  # top-level ones
    roots: set[str] = field(default_factory=set)
    says: list[str] = field(default_factory=list)
    _sizes: Counter[Path] = field(default_factory=Counter)  # files, by where they come from
    _bytes: int = 0

    def took(self, name: str, module: object) -> bool:
        """Whether the loaded `module` is the user's; then it is sent, with its whole package."""
        top, *below = name.split(".")
        if not isinstance(module, ModuleType) or top in ("__main__", "__mp_main__"):
            return False
        told = vars(module).get("__file__")
        if not isinstance(told, str) or _is_foreign(os.path.dirname(told)):
            return False
        path = Path(told).resolve()
        if not path.is_file() or len(below) >= len(path.parents):  # generated, under any name
            return False
        if below and isinstance(above := sys.modules.get(top), ModuleType):
            self._take_package(top, vars(above).get("__path__") or ())
        if path.suffix != ".py":
            self.says.append(
                f"{name} is {path.name}, no Python source, and is not sent to workers; install "
                "it on every node."
            )
        elif "__path__" in vars(module):
            self._take_package(name, [str(path.parent)])
        else:
            self._take("/".join((top, *below)) + ".py", path, path.parents[len(below)])
        return path.suffix == ".py"

    def take_beside(self, file: Path) -> None:
        """The modules in the folder of `file`, as far as they can be imported from there."""
        folder = file.parent
        nameless, shadows = [], []
        for path in sorted(folder.iterdir()):
            is_module = path.suffix == ".py" and path.is_file()
            is_code = is_module or (path / "__init__.py").is_file()
            if is_code and path.stem in OURS and folder != HOME:
                raise ExperimentError(
                    f"{path} shadows evolve's own package {path.stem!r}; rename it, or move it "
                    "out of the folder of the experiment."
                )
            if not is_module or path.stem.startswith("__"):
                continue
            if not path.stem.isidentifier() or keyword.iskeyword(path.stem):
                nameless.append(path.name)
            elif _is_library(path.stem):
                shadows.append(path.name)
            else:
                self._take(path.name, path, folder)
        if nameless:
            self.says.append(
                f"{_some(nameless)} in {folder} cannot be imported, the name is no identifier: "
                "not sent to workers."
            )
        if shadows:
            self.says.append(
                f"{_some(shadows)} in {folder} has the name of a module of Python's or an "
                "installed one, which a worker may import instead; rename it."
            )

    def at(self, name: str) -> Iterator[str]:
        """The paths in the archive that importing `name` runs: its own, and its packages'."""
        parts = name.split(".")
        for n in range(1, len(parts) + 1):
            stem = "/".join(parts[:n])
            yield from (at for at in (f"{stem}/__init__.py", f"{stem}.py") if at in self.content)

    def reached(self, starts: Iterable[str]) -> set[str]:
        """The paths in the archive that the modules `starts` import, themselves included."""
        found: set[str] = set()
        known: set[str] = set()
        queue = list(starts)
        while queue:
            name = queue.pop()
            if (top := name.partition(".")[0]) not in known:
                known.add(top)
                self._take_unloaded(top)
            for at in set(self.at(name)) - found:
                found.add(at)
                queue += _imports(at, self.content[at])
        return found

    def left_behind(self, reached: set[str]) -> Iterator[str]:
        """The files that a user may believe to be sent: data below packages that are `reached`.

        Data belongs to the package whose code lies nearest above it.
        """
        with_code = {at.rpartition("/")[0] for at in self.content}
        with_reached = {at.rpartition("/")[0] for at in reached}
        for name, folder in sorted(self.packages):
            if not any(at.startswith(f"{name}/") for at in reached):
                continue
            data = []
            for path in tree(folder):
                below = path.relative_to(folder)
                above = [Path(name, parent).as_posix() for parent in below.parents]
                owner = next((place for place in above if place in with_code), None)
                asked = path.suffix not in _UNASKED and not path.name.startswith(".")
                if asked and owner in with_reached:
                    data.append(below.as_posix())
            if data:
                yield (
                    f"{_some(data)} in {folder}: data is not sent to workers; on another machine "
                    "it must lie at the same place, and the code too."
                )

    def _take_unloaded(self, top: str) -> None:
        """Send `top`, which the text imports, if it is the user's; importing nothing."""
        if top in OURS or top in sys.stdlib_module_names:
            return
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError):  # ValueError: __main__, or a module made by hand
            return
        if spec is None:
            return
        if spec.submodule_search_locations is not None:
            self._take_package(top, spec.submodule_search_locations)
        elif spec.origin is not None and spec.origin.endswith(".py"):
            path = Path(spec.origin).resolve()
            if not _is_foreign(str(path.parent)):
                self._take(f"{top}.py", path, path.parent)

    def _take_package(self, name: str, folders: Iterable[str]) -> None:
        """Every module below the `folders` of the package `name`."""
        base = name.replace(".", "/")
        for folder in (Path(each).resolve() for each in folders if not _is_foreign(each)):
            known = (name, folder) in self.packages or f"{base}/__init__.py" in self.content
            if known or not folder.is_dir():
                continue
            for path in tree(folder):
                below = path.relative_to(folder)
                if path.suffix == ".py" and all(p.isidentifier() for p in below.parts[:-1]):
                    self._take(f"{base}/{below.as_posix()}", path, folder)
            self.roots.add(str(folder.parents[name.count(".")]))
            if "." not in name:
                self.packages.add((name, folder))

    def _take(self, at: str, path: Path, whence: Path) -> None:
        if at in self.content:
            return
        try:
            self.content[at] = path.read_bytes()
        except OSError as error:
            raise ExperimentError(
                f"{path} cannot be read ({error.strerror}) and belongs to the experiment's code; "
                "make it readable, or take it away."
            ) from error
        if "/" not in at:
            self.roots.add(str(whence))
        self._sizes[whence] += 1
        self._bytes += len(self.content[at])
        if len(self.content) > MOST_FILES or self._bytes > MOST_BYTES:
            folder, n = self._sizes.most_common(1)[0]
            raise ExperimentError(
                f"The experiment's code has more than {MOST_FILES:,} files or "
                f"{MOST_BYTES >> 20} MB, the most that is sent to workers; {n:,} files of it "
                f"come from {folder}. Put the experiment into a folder of its own, or install "
                "what is there (`pip install`) on every node."
            )


def _imports(at: str, source: bytes) -> Iterator[str]:
    """The absolute names that the module at `at` may import, attributes among them."""
    try:
        found = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    package = at.split("/")[:-1]  # of `package/__init__.py` as of `package/module.py`
    for node in ast.walk(found):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from (origin, *(f"{origin}.{alias.name}" for alias in node.names))


@lru_cache(maxsize=4096)
def _is_foreign(folder: str) -> bool:
    """Whether `folder` is, or lies in, Python's own, what is installed, or evolve."""
    path = Path(folder)
    if not {"site-packages", "dist-packages"}.isdisjoint(path.parts):
        return True
    ours = (HOME / name for name in OURS)
    return any(path.resolve().is_relative_to(each) for each in (*_libraries(), *ours))


@cache
def _libraries() -> tuple[Path, ...]:
    """Where Python and what is installed lie."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple({Path(sysconfig.get_path(name)).resolve() for name in names})


def _is_library(stem: str) -> bool:
    """Whether a top-level module of that name is Python's own, or installed."""
    if stem in sys.stdlib_module_names:
        return True
    found = importlib.machinery.PathFinder.find_spec(stem, [str(p) for p in _libraries()])
    return found is not None and found.origin is not None


def _place_on_path(root: str) -> tuple[int, str]:
    places = [os.path.realpath(place) for place in sys.path]
    return (places.index(root) if root in places else len(places)), root


def _some(names: list[str]) -> str:
    """The first names of a list for a message."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
