"""What a process prints: its beginning and end, however much that is, and no private path.

Below full isolation each candidate's directory has a name of its own. Every text that comes out
of a call says `/box` for it, as at full isolation, so that the same call says the same again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from fitness.sandbox.inside.root import BOX


class Output:
    """The first and the last `most // 2` bytes of what is added; the rest is only counted.

    boxes: what `forms` returned; it is replaced before anything is counted or left out.
    """

    def __init__(self, most: int, boxes: Sequence[str] = ()) -> None:
        self._half = max(most // 2, 1)
        self._head, self._tail = bytearray(), bytearray()
        self._n = 0
        self._boxes = [os.fsencode(box) for box in boxes]
        self._pattern = re.compile(b"|".join(map(re.escape, self._boxes)))
        self._held = b""  # it may be the beginning of a path

    def add(self, data: bytes) -> None:
        """`data` was printed."""
        if not self._boxes:
            return self._keep(data)
        whole = self._held + data
        done = max((match.end() for match in self._pattern.finditer(whole)), default=0)
        n = _begun(whole[done:], self._boxes)
        self._held = whole[len(whole) - n :]
        self._keep(self._pattern.sub(BOX.encode(), whole[: len(whole) - n]))

    def _keep(self, data: bytes) -> None:
        self._n += len(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > self._half:
            del self._tail[: len(self._tail) - self._half]

    def text(self) -> str:
        """What is kept, with a line that says how much is not."""
        self._keep(self._held)
        self._held = b""
        lost = self._n - len(self._head) - len(self._tail)
        middle = f"\n... {lost} bytes left out ...\n".encode() if lost else b""
        return printable((bytes(self._head) + middle + bytes(self._tail)).decode(errors="replace"))


def _begun(data: bytes, boxes: Sequence[bytes]) -> int:
    """The most bytes at the end of `data` with which one of `boxes` begins."""
    lengths = range(max(map(len, boxes)) - 1, 0, -1)
    return next((n for n in lengths if any(data.endswith(b[:n]) for b in boxes if n < len(b))), 0)


def forms(box: str) -> tuple[str, ...]:
    """The paths by which a process may name its directory `box`; the longest first."""
    found = {box, os.path.join(os.path.realpath(os.path.dirname(box)), os.path.basename(box))}
    return tuple(sorted(found - {BOX}, key=len, reverse=True))


def renamed(text: str, boxes: Sequence[str]) -> str:
    """`text` with `/box` in place of what `forms` returned."""
    for box in boxes:
        text = text.replace(box, BOX)
    return text


def printable(text: str) -> str:
    """`text` without what a terminal or an editor would obey, or what UTF-8 cannot hold."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
