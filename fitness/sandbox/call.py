"""What goes into the sandbox and what comes out: `Limits`, `Call`, `Answer`.

Knows no process. Sources and data go in; JSON data or numpy arrays come out, or an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import PurePosixPath

import numpy as np

from evolve.errors import FitnessError
from evolve.genome import Json
from fitness.sandbox.isolation import Isolation

LEAST_MEMORY = 64 << 20  # what a forked interpreter needs before it does anything


@dataclass(frozen=True)
class Limits:
    """What a call may use. `seconds` of wall time, by the launcher's clock; sizes in bytes.

    memory: beyond what the warm interpreter has already. file_bytes: a file's size, and at full
    isolation that of all files together (they count as memory too). answer_bytes: of the answer;
    JSON is held to a sixteenth of it. output_bytes: of what it printed, first and last half; the
    rest is thrown away. gpu: a process of its own that starts cold, sees the NVIDIA devices and
    has no limit on its address space, which CUDA could not live with.
    """

    seconds: float = 60.0
    memory: int = 2 << 30
    file_bytes: int = 64 << 20
    answer_bytes: int = 64 << 20
    output_bytes: int = 64 << 10
    gpu: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.seconds < 1e7:
            raise FitnessError(f"Limits.seconds is {self.seconds}; give more than 0.")
        for each in fields(self)[1:-1]:
            least = LEAST_MEMORY if each.name == "memory" else 1
            if vars(self)[each.name] < least:
                raise FitnessError(
                    f"Limits.{each.name} is {vars(self)[each.name]}; give {least} bytes or more."
                )


@dataclass(frozen=True, eq=False)
class Call:
    """One call of `function` ("module:name") of `files`, with `arrays` and `values` by name.

    files: text by relative path ("model.py", "parts/block.py"); they are written into an empty
    directory, the working directory, from which modules are imported. arrays: of booleans,
    integers or floats. The function gets copies of its own.
    """

    files: Mapping[str, str]
    function: str
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    values: Mapping[str, Json] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for path in self.files:
            parts = PurePosixPath(path).parts
            if not parts or parts[0] == "/" or ".." in parts or "\0" in path:
                raise FitnessError(f"Call.files has the path {path!r}; give it relative, as a.py.")
        module, _, name = self.function.partition(":")
        if not module or not name:
            raise FitnessError(f"Call.function is {self.function!r}; give it as 'module:name'.")
        if both := sorted(set(self.arrays) & set(self.values)):
            raise FitnessError(f"Call has {both[0]!r} in arrays and in values; rename one.")
        for name, array in self.arrays.items():
            if array.dtype.kind not in "biuf":
                raise FitnessError(
                    f"Call.arrays[{name!r}] holds {array.dtype}; give booleans, "
                    "integers or floats."
                )


@dataclass(frozen=True, eq=False)
class Answer:
    """What a call came to: `value`, or `error` with what is known about it.

    value: JSON data (NaN and infinities included: judge them), or numpy arrays by name; None
    with `error`. error: "timeout: ...", "exception: ...", "out of memory: ...", "crash: ...",
    "invalid: ...". trace: the traceback of an exception. output: what was printed. seconds: wall
    time, by the launcher's clock. `error`, `trace` and `output` say `/box` for the directory of
    the call, wherever it was. Everything but `seconds` and `isolation` was written by the
    code that ran, and proves nothing.
    """

    value: Json | Mapping[str, np.ndarray]
    error: str | None
    trace: str
    output: str
    seconds: float
    isolation: Isolation
