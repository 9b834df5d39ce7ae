"""How many parameters a trained program has: whatever could hold what it learned is counted.

    arrays     the larger of an array's elements and its bytes / 8, buffers included
    names      of the arrays: 1 for 8 bytes beyond 1,024 in all
    literals   1 for each number in the source, or for each 64 bits of a long integer; 2 for an
               imaginary one
    texts      of strings and bytes in the source: 1 for 8 bytes beyond 1,024 in all
    source     never less for literals and texts than 1 for 8 bytes beyond 16,384 of source

so that a training set or guessed answers cost what weights that hold as much would. The source
is the normal form, without comments and docstrings; True, False and None are free. Knows no
network.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping

import numpy as np

from evolve.errors import FitnessError

FREE_TEXT, FREE_SOURCE, WORD = 1024, 16384, 8  # bytes
_NAME = re.compile(r"[A-Za-z0-9_.:\-]{1,256}")


def parameters(weights: Mapping[str, np.ndarray], source: Mapping[str, str]) -> int:
    """Arrays and source together. Raises `FitnessError` for `weights` that cannot be counted."""
    return of_arrays(weights) + of_source(source)


def of_arrays(weights: Mapping[str, np.ndarray]) -> int:
    """Elements, or 8 bytes, of all arrays. Raises `FitnessError` where that means nothing."""
    for name, array in weights.items():
        if not _NAME.fullmatch(name):
            raise FitnessError(
                f"the weights hold the name {name!r:.60}; give plain names of at most 256 letters"
            )
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > WORD:
            raise FitnessError(
                f"the weights' {name!r} has dtype {array.dtype}; give floats, integers or bools "
                "of at most 64 bits"
            )
        if not array.size:  # its shape alone would be a free number
            raise FitnessError(f"the weights' {name!r} is empty {array.shape}; leave it out")
    elements = sum(max(a.size, math.ceil(a.nbytes / WORD)) for a in weights.values())
    return elements + _beyond(sum(map(len, weights)), FREE_TEXT)


def of_source(source: Mapping[str, str]) -> int:
    """What the files' texts (in normal form) hold of numbers and strings."""
    numbers = texts = 0
    for text in source.values():
        for node in ast.walk(ast.parse(text)):
            value = node.value if isinstance(node, ast.Constant) else None
            if isinstance(value, str | bytes):
                texts += len(value.encode("utf-8", "replace") if isinstance(value, str) else value)
            elif isinstance(value, int) and not isinstance(value, bool):
                numbers += max(1, math.ceil(value.bit_length() / 64))
            elif isinstance(value, float | complex):
                numbers += 1 + isinstance(value, complex)
    size = sum(len(text.encode()) for text in source.values())
    return max(numbers + _beyond(texts, FREE_TEXT), _beyond(size, FREE_SOURCE))


def _beyond(size: int, free: int) -> int:
    return math.ceil(max(0, size - free) / WORD)
