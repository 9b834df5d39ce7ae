"""Experiment files: imported by their stem, with their folder first on the path.

The same way in the driver and in every worker, so that what pickles here unpickles there.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from evolve import guard
from evolve.errors import EvolveError, ExperimentError
from evolve.experiment import Experiment


def file_of(path: Path) -> Path:
    """`path` without the `:NAME` that may follow it."""
    return path.with_name(path.name.partition(":")[0])


def load_experiment(path: Path) -> Experiment[Any]:
    """The value `experiment` of the file `path`, or NAME of `FILE.py:NAME`.

    A function without arguments is called: it makes the experiment only when it is wanted.
    Raises `ExperimentError`.
    """
    name = path.name.partition(":")[2] or "experiment"
    path = file_of(path).resolve()
    value = vars(_imported(path)).get(name)
    found = _called(path, value) if inspect.isfunction(value) else value
    if not isinstance(found, Experiment):
        what = f"has no `{name}`" if found is None else f"`{name}` is a {type(found)!r}"
        raise ExperimentError(
            f"{path}: {what}; define `{name} = Experiment(name=..., search=..., "
            "fitness=..., births=...)` at top level."
        )
    return found


def _called(path: Path, function: Callable[[], object]) -> object:
    try:
        return function()
    except EvolveError:
        raise
    except Exception as error:
        raise ExperimentError(
            f"{path}: {function.__name__}() fails: {type(error).__name__}: {error}"
            f"{_line(path, error)}"
        ) from error


def _imported(path: Path) -> ModuleType:
    """The file at `path` as a module."""
    if not path.is_file() or path.suffix != ".py":
        raise ExperimentError(f"{path} is not a Python file; give the path of an experiment.")
    if not path.stem.isidentifier():
        raise ExperimentError(
            f"{path.name} cannot be imported: its name is not an identifier; rename it, e.g. "
            f"{''.join(c if c.isalnum() else '_' for c in path.stem)}.py."
        )
    _refuse_shadow(path)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    try:
        guard()
    except ImportError as error:
        raise ExperimentError(f"{path} cannot be run: {error}") from error
    try:
        return importlib.import_module(path.stem)
    except Exception as error:
        raise ExperimentError(
            f"{path} cannot be imported: {type(error).__name__}: {error}{_line(path, error)}"
        ) from error


def _line(path: Path, error: Exception) -> str:
    """Where in the file at `path` the error came up; "" where no line of it was running."""
    trace = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in trace if frame.filename == str(path)]
    return f" (at line {lines[-1]})" if lines else ""


def _refuse_shadow(path: Path) -> None:
    stem = path.stem
    if (path.parent / stem / "__init__.py").exists():
        raise ExperimentError(
            f"{path.name} lies beside the package {stem}/, which Python imports instead; rename "
            "one of them."
        )
    loaded = sys.modules.get(stem)
    spec = loaded.__spec__ if loaded is not None else None
    if loaded is None:
        spec = importlib.util.find_spec(stem)
        if spec is not None and spec.origin is None:
            spec = None  # a folder without __init__.py: any module goes before it
    origin = spec.origin if spec is not None else None
    same = origin is not None and Path(origin).resolve() == path
    if stem in sys.stdlib_module_names or ((spec is not None or loaded is not None) and not same):
        raise ExperimentError(
            f"The experiment file {path.name} shadows the module {stem!r} "
            f"({origin or 'built in'}); rename it, workers would import the wrong one."
        )
