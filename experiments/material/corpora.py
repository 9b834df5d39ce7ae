"""Documents of the three domains, read from the unpacked Debian packages.

Knows the layouts (SWORD zText, Sphinx `_sources`, a Python tree), not tokens or splits. Each
function returns name -> text; a document is a book, a page of the manual, a source file.
"""

import re
import struct
import zlib
from pathlib import Path

TAG = re.compile(r"<[^>]+>")
SKIPPED_SOURCE = ("encodings/", "pydoc_data/", "__phello__", "test/", "_sysconfigdata")


def king_james(root: Path) -> dict[str, str]:
    """The 66 books, a paragraph a line, without notes, headings and Strong's numbers.

    zText: `.bzs` holds 12-byte rows (offset, compressed size, size) into `.bzz`, one zlib block
    a book here; block 0 is the module's header. A block is OSIS XML.
    """
    books = {}
    for part in ("ot", "nt"):
        stem = root / "usr/share/sword/modules/texts/ztext/engKJV2006eb" / part
        packed = stem.with_suffix(".bzz").read_bytes()
        for offset, size, _ in struct.iter_unpack("<III", stem.with_suffix(".bzs").read_bytes()):
            osis = zlib.decompress(packed[offset : offset + size]).decode()
            if found := re.search(r'osisID="(\w+)"[^>]*type="book"', osis):
                books[found[1]] = _plain(osis)
    return books


def python_docs(root: Path) -> dict[str, str]:
    """The reStructuredText of each page of the Python manual, markup left in."""
    folder = root / "usr/share/doc/python3.11/html/_sources"
    return _tree(folder, "*.rst.txt", ("whatsnew/changelog",))


def python_source(root: Path) -> dict[str, str]:
    """Each standard library file; no generated tables, no copy of the manual, no tests."""
    return _tree(root / "usr/lib/python3.11", "*.py", SKIPPED_SOURCE)


def _tree(folder: Path, pattern: str, skipped: tuple[str, ...]) -> dict[str, str]:
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob(pattern))}
    return {
        name: path.read_text("utf-8", errors="replace").replace("\r\n", "\n")
        for name, path in files.items()
        if path.is_file() and not name.startswith(skipped)
    }


def _plain(osis: str) -> str:
    osis = re.sub(r"<(note|title)\b[^>]*>.*?</\1>", "", osis, flags=re.S)
    osis = re.sub(r'<div sID="[^"]*" type="x-p"/>|<lg\b[^>]*>|<chapter\b[^>]*>', "\n", osis)
    text = TAG.sub("", osis).replace("¶", "")
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)
