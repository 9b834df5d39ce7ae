from __future__ import annotations

import numpy as np
import pytest

from evolve.errors import FitnessError
from fitness.sandbox.call import Call, Limits


@pytest.mark.parametrize("path", ["/etc/passwd", "../a.py", "a/../../b.py", "", "a\0.py"])
def test_a_path_stays_in_its_directory(path: str) -> None:
    with pytest.raises(FitnessError, match="give it relative"):
        Call({path: ""}, "a:f")


@pytest.mark.parametrize("function", ["f", "a:", ":f", ""])
def test_a_function_has_a_module(function: str) -> None:
    with pytest.raises(FitnessError, match="module:name"):
        Call({"a.py": ""}, function)


def test_a_name_is_given_once() -> None:
    with pytest.raises(FitnessError, match="'x' in arrays and in values"):
        Call({"a.py": ""}, "a:f", {"x": np.zeros(1)}, {"x": 1})


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.array([1j])])
def test_arrays_hold_numbers(array: np.ndarray) -> None:
    with pytest.raises(FitnessError, match="give booleans, integers or floats"):
        Call({"a.py": ""}, "a:f", {"x": array})


def test_limits_leave_room() -> None:
    for seconds in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(FitnessError, match=r"Limits\.seconds"):
            Limits(seconds=seconds)
    with pytest.raises(FitnessError, match=r"Limits\.memory is 1; give 67108864 bytes"):
        Limits(memory=1)
    with pytest.raises(FitnessError, match=r"Limits\.file_bytes is 0; give 1 bytes"):
        Limits(file_bytes=0)
