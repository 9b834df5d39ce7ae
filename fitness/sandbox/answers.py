"""Reads what evolved code sent back: JSON or npz, never more than was allowed, never a pickle.

Every byte is hostile. Only stored (uncompressed) members are read, so nothing can grow; a header
that claims other than what the file holds is refused. Raises `Unreadable`, nothing else.
"""

from __future__ import annotations

import io
import json
import math
import re
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evolve.genome import Json
from fitness.sandbox.output import printable, renamed

JSON, ARRAYS, FAILED = b"J", b"N", b"E"  # the first byte of an answer; inside/answering.py too
KINDS = ("exception", "out of memory", "invalid")
_MOST_MEMBERS = 10_000
_MOST_DIRECTORY = 4 << 20  # bytes
_END = struct.Struct("<4s4H2LH")  # zip's last record: signature ... entries, size, offset, comment
_ANOTHER_END = b"PK\6\7"  # where zip64 says that other numbers hold
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_TEXT = 2_000  # characters of an error
_TRACE = 16_000
_JSON_SHARE = 16  # Python objects take up to thirty times their JSON


class Unreadable(Exception):
    """The answer is not what an honest call could have sent; its text says why."""


@dataclass(frozen=True)
class Failed:
    """The call ended with an error of its own: its kind, one line, and a traceback."""

    kind: str
    text: str
    trace: str


def read(
    data: bytes, most: int, boxes: Sequence[str] = ()
) -> Json | Mapping[str, np.ndarray] | Failed:
    """The answer in `data`, for which `most` bytes were allowed. Raises `Unreadable`.

    boxes: the forms of the directory's path; what is said of an error has another for them.
    """
    kind, body = data[:1], data[1:]
    if kind == ARRAYS:
        return arrays(body)
    if kind not in (JSON, FAILED):
        raise Unreadable(f"the answer begins with {kind!r}, not with its kind")
    bound = max(most // _JSON_SHARE, 1 << 16)
    if len(body) > bound:
        raise Unreadable(
            f"the answer is {len(body)} bytes of JSON, more than {bound}; return large data as "
            "arrays"
        )
    value = _json(body)
    return _failed(value, boxes) if kind == FAILED else value


def arrays(data: bytes) -> dict[str, np.ndarray]:
    """The arrays of an npz file, by name, read-only. Raises `Unreadable`."""
    _check_end(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            members = opened.infolist()
            _check(members, len(data))
            return {
                member.filename.removesuffix(".npy"): _array(member.filename, opened.read(member))
                for member in members
            }
    except Unreadable:
        raise
    # what the standard library and numpy raise for files made to confuse them is not documented
    except Exception as error:
        raise Unreadable(f"the answer is no npz file: {type(error).__name__}: {error}") from None


def _check_end(data: bytes) -> None:
    """The last record bounds what `zipfile` builds before anybody can look at it."""
    if len(data) < _END.size or data[-42:-38] == _ANOTHER_END:
        raise Unreadable("the answer is no npz file: it has no plain end")
    signature, *_, n_members, size, _, comment = _END.unpack(data[-_END.size :])
    if signature != b"PK\5\6" or comment or n_members > _MOST_MEMBERS or size > _MOST_DIRECTORY:
        raise Unreadable(f"the answer is no npz file of at most {_MOST_MEMBERS} arrays")


def _check(members: list[zipfile.ZipInfo], size: int) -> None:
    if len({member.filename for member in members}) < len(members):
        raise Unreadable("the answer has two arrays of one name")
    for member in members:
        if not member.filename.endswith(".npy"):
            raise Unreadable(f"the answer holds {member.filename[:80]!r}, expected only arrays")
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise Unreadable(f"{member.filename[:80]!r} is compressed; save it with numpy.savez")
    if (claimed := sum(member.file_size for member in members)) > size:
        raise Unreadable(f"the arrays claim {claimed} bytes, the answer has {size}")


def _array(name: str, data: bytes) -> np.ndarray:
    """One array from its npy file."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise Unreadable(f"{name[:80]!r} is npy {version}, expected (1, 0)")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.kind not in "biuf" or dtype.itemsize > 8 or dtype.hasobject:
        raise Unreadable(
            f"{name[:80]!r} holds {str(dtype)[:80]}, expected booleans, integers or floats of at "
            "most 8 bytes"
        )
    left = len(data) - stream.tell()
    if any(length < 0 for length in shape) or math.prod(shape) * dtype.itemsize != left:
        raise Unreadable(f"{name[:80]!r} claims the shape {str(shape)[:80]} in {left} bytes")
    flat = np.frombuffer(data, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def _json(data: bytes) -> Json:
    try:
        value: Json = json.loads(data)
        if _SURROGATE.search(data):  # half a character: no ledger could store it
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"the answer is no JSON: {str(error)[:200]}") from None
    return value


def _failed(value: Json, boxes: Sequence[str]) -> Failed:
    if not isinstance(value, dict):
        raise Unreadable("the answer is an error that is not described")
    kind, text, trace = (value.get(name) for name in ("kind", "text", "trace"))
    if kind not in KINDS or not isinstance(text, str) or not isinstance(trace, str):
        raise Unreadable("the answer is an error that is not described")
    text, trace = renamed(text, boxes), renamed(trace, boxes)
    cut = (
        trace if len(trace) <= _TRACE else f"{trace[: _TRACE // 2]}\n...\n{trace[-_TRACE // 2 :]}"
    )
    return Failed(kind, printable(text[:_TEXT]), printable(cut))
