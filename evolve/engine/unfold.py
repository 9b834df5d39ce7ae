"""The way of an experiment's code into a worker: one hashed archive, unfolded once a node.

A worker imports from where the code lies in the driver if the very same code lies there too
(then data beside it is found), else from an unfolded copy. Knows neither what is shipped, nor
Ray: whoever starts a worker hands it the archive.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from evolve.errors import WorkerError

OURS = ("evolve", "operators", "fitness")
HOME = Path(__file__).resolve().parents[2]


def content_hash(content: Mapping[str, bytes]) -> str:
    """The sha256 (hex) of files by their path; equal whatever the archive, clock or folder."""
    whole = hashlib.sha256()
    for at in sorted(content):
        whole.update(f"{at} {len(content[at])}\n".encode())
        whole.update(content[at])
    return whole.hexdigest()


def folded(content: Mapping[str, bytes]) -> bytes:
    """A zip of `content`: sorted names, one date, so the same bytes for the same content."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for at in sorted(content):
            entry = zipfile.ZipInfo(at, (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # Unix, wherever it is
            archive.writestr(entry, content[at], zipfile.ZIP_DEFLATED, compresslevel=1)
    return stream.getvalue()


def import_roots(
    archive: bytes, sha256: str, roots: Iterable[str], into: Path | None = None
) -> tuple[Path, ...]:
    """In a worker: what to put first on `sys.path`, before `evolve.guard()`.

    `roots`, if they hold just the code of `archive` (the driver's machine, a shared disk), else
    the one place that `unfold` gives. Reads every file once. Raises as `unfold`.
    """
    places = tuple(Path(root) for root in roots)
    content = _unzipped(archive, sha256)
    if all(_first(places, at) == data for at, data in content.items()):
        return places
    return (unfold(archive, sha256, into),)


def unfold(archive: bytes, sha256: str, into: Path | None = None) -> Path:
    """In a worker: the folder, named by the hash, that holds the code of `archive`.

    Made once a node by whoever comes first, below `into` (default: a folder of this user in the
    temporary directory); what is there already is compared byte by byte. Raises `WorkerError`
    if the archive is not `sha256`, or the disk does not take it.
    """
    from filelock import FileLock

    content = _unzipped(archive, sha256)
    place = into or Path(tempfile.gettempdir()) / f"evolve-code-{os.getuid()}"
    root = place / sha256
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if into is None and place.stat().st_uid != os.getuid():
            raise PermissionError("it belongs to another user")
        if not _holds(root, content):
            with FileLock(place / f"{sha256}.lock"):
                if not _holds(root, content):
                    _place(root, content)
    except OSError as error:
        raise WorkerError(
            f"The experiment's code cannot be unfolded in {place}: {error}; make room there, or "
            "set TMPDIR on that node to a folder that can be written."
        ) from error
    return root


@cache
def own_sha256() -> str:
    """The sha256 (hex) of the Python files of evolve, operators and fitness."""
    files = [path for name in OURS for path in tree(HOME / name) if path.suffix == ".py"]
    return content_hash({path.relative_to(HOME).as_posix(): path.read_bytes() for path in files})


def same_evolve(expected: str) -> None:
    """In a worker: raise `WorkerError` unless its evolve is the driver's, by `own_sha256`."""
    if own_sha256() != expected:
        raise WorkerError(
            f"The evolve of this worker, in {HOME}, has the hash {own_sha256()[:12]}, the "
            f"driver's has {expected[:12]}: another version gives other results. Install the "
            "driver's version on every node, or start the driver with the nodes' version."
        )


def tree(folder: Path) -> Iterator[Path]:
    """Every file below `folder`, sorted, but for hidden folders; links are followed once."""
    been = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        been.add(os.path.realpath(place))
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith((".", "__pycache__"))
            and os.path.realpath(os.path.join(place, name)) not in been
        )
        yield from (Path(place, name) for name in sorted(names))


def _unzipped(archive: bytes, sha256: str) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            content = {entry.filename: opened.read(entry) for entry in opened.infolist()}
    except zipfile.BadZipFile:
        content = {}
    if (found := content_hash(content)) != sha256:
        raise WorkerError(
            f"The experiment's code came as {found[:12]}, {sha256[:12]} was sent: it was damaged "
            "on its way. Start the run again."
        )
    return content


def _first(places: Iterable[Path], at: str) -> bytes | None:
    """What lies at `at` in the first of `places` that has it."""
    for place in places:
        try:
            return (place / at).read_bytes()
        except OSError:
            continue
    return None


def _holds(root: Path, content: Mapping[str, bytes]) -> bool:
    """Whether the Python files below `root` are `content`, no more and no less."""
    there = {path.relative_to(root).as_posix() for path in tree(root) if path.suffix == ".py"}
    same = all(_first([root], at) == data for at, data in content.items())
    return there == set(content) and root.is_dir() and same


def _place(root: Path, content: Mapping[str, bytes]) -> None:
    """Write `content` under another name, then rename."""
    scratch = Path(tempfile.mkdtemp(prefix="part-", dir=root.parent))
    try:
        for at, data in content.items():
            (scratch / at).parent.mkdir(parents=True, exist_ok=True)
            (scratch / at).write_bytes(data)
        shutil.rmtree(root, ignore_errors=True)  # half of it was cleaned away
        scratch.rename(root)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
