"""Calls the function and answers, in the candidate's own process: all it does can be forged.

The answer is one byte for its kind (`fitness/sandbox/answers.py` names them) and JSON or npz.
"""

from __future__ import annotations

import importlib
import io
import json
import mmap
import os
import sys
import traceback
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

LENGTH = 8  # bytes: how long the request's JSON is, which follows
_STARVED = b'E{"kind": "out of memory", "text": "nothing is left to say more", "trace": ""}'
_TEXT, _HALF = 8_000, 16_000  # characters of an error, of its trace's beginning and end
_NOT_ITS_OWN = (__file__, importlib.__file__ or "", "<frozen importlib")  # frames above its code


def answer(request: int, answer_fd: int) -> None:
    """Reads the request from one descriptor, writes the answer to the other."""
    try:
        described, arrays = _read(request)
        for path, text in described["files"].items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text, encoding="utf-8")
        sys.path.insert(0, os.getcwd())
        importlib.invalidate_caches()
        sent = _called(described["function"], {**arrays, **described["values"]})
    except BaseException as error:  # SystemExit too: the code that ran has not answered
        try:
            sent = _failure(error)
        except MemoryError:
            sent = _STARVED
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, or replaced by the code that ran
            stream.flush()
    view = memoryview(sent)
    while view:
        view = view[os.write(answer_fd, view) :]


def _read(fd: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The request, its arrays as private copies that share their pages until written."""
    import numpy as np

    held = mmap.mmap(fd, 0, access=mmap.ACCESS_COPY)
    end = LENGTH + int.from_bytes(held[:LENGTH], "little")
    described = json.loads(held[LENGTH:end])
    arrays = {
        name: np.ndarray(shape, dtype, held, offset)
        for name, (dtype, shape, offset) in described["arrays"].items()
    }
    return described, arrays


def _called(function: str, arguments: dict[str, Any]) -> bytes:

    module, _, name = function.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        if part not in vars(found):
            raise AttributeError(f"{module} has no {name!r}; the call is of {function!r}")
        found = vars(found)[part]
    value = found(**arguments)
    if isinstance(value, dict) and value and all(map(_is_array, value.values())):
        if bad := [key for key, array in value.items() if array.dtype.kind not in "biuf"]:
            return _described("invalid", f"{bad[0]!r} holds {value[bad[0]].dtype}")
        return b"N" + _npz(value)
    try:
        return b"J" + json.dumps(value, default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        expected = "expected JSON data or a dict of numpy arrays"
        return _described(
            "invalid", f"{name} returned what JSON cannot hold ({error}); {expected}"
        )


def _npz(arrays: dict[str, Any]) -> bytes:
    """As `numpy.savez`, which takes no array named "file"."""
    import numpy as np

    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as opened:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array), (1, 0), allow_pickle=False)
            opened.writestr(f"{name}.npy", member.getbuffer())
    return whole.getvalue()


def _is_array(value: object) -> bool:
    import numpy as np

    return isinstance(value, np.ndarray)


def _plain(value: Any) -> Any:
    import numpy as np

    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"it holds {type(value).__name__}")


def _failure(error: BaseException) -> bytes:
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # its own __str__ failed
        text = type(error).__name__
    # torch says so in a RuntimeError on a CPU, and in one of its own on a GPU
    starved = isinstance(error, MemoryError) or "allocate memory" in text or "OutOfMemory" in text
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_NOT_ITS_OWN):
        frames = frames.tb_next
    trace = "".join(traceback.format_exception(type(error), error, frames, limit=-40))
    return _described("out of memory" if starved else "exception", text, trace)


def _described(kind: str, text: str, trace: str = "") -> bytes:
    # the launcher cuts to a quarter and a half of this, once no path of the box is in it
    if len(trace) > 2 * _HALF:
        trace = f"{trace[:_HALF]}\n...\n{trace[-_HALF:]}"
    sent = {"kind": kind, "text": text[:_TEXT], "trace": trace}
    return b"E" + json.dumps(sent).encode()
