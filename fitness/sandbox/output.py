"""Keeps the beginning and the end of what a process prints, however much that is."""

from __future__ import annotations


class Output:
    """The first and the last `most // 2` bytes of what is added; the rest is only counted."""

    def __init__(self, most: int) -> None:
        self._half = max(most // 2, 1)
        self._head, self._tail = bytearray(), bytearray()
        self._n = 0

    def add(self, data: bytes) -> None:
        """`data` was printed."""
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
        lost = self._n - len(self._head) - len(self._tail)
        middle = f"\n... {lost} bytes left out ...\n".encode() if lost else b""
        return printable((bytes(self._head) + middle + bytes(self._tail)).decode(errors="replace"))


def printable(text: str) -> str:
    """`text` without what a terminal or an editor would obey, or what UTF-8 cannot hold."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
