import numpy as np
import pytest

from evolve.errors import FitnessError
from evolve.genomes.program.normal import normalised
from fitness.harness.counting import FREE_SOURCE, FREE_TEXT, of_arrays, of_source, parameters


def source(text: str) -> dict[str, str]:
    return {"a.py": normalised(text)}


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("f8", 100), ("f4", 100), ("f2", 100), ("i8", 100), ("u1", 100), ("?", 100)],
)
def test_an_element_is_a_parameter(dtype: str, expected: int) -> None:
    assert of_arrays({"w": np.zeros((10, 10), dtype), "b": np.zeros((), dtype)}) == expected + 1


@pytest.mark.parametrize("array", [np.zeros(2, "c16"), np.zeros(2, "U4"), np.zeros((0, 12345))])
def test_what_cannot_be_counted_is_refused(array: np.ndarray) -> None:
    with pytest.raises(FitnessError, match="'w'"):
        of_arrays({"w": array})


@pytest.mark.parametrize("name", ["", "a b", "a" * 257, "ü", "a\0"])
def test_names_are_plain(name: str) -> None:
    with pytest.raises(FitnessError, match="give plain names"):
        of_arrays({name: np.zeros(1)})


def test_long_names_cost() -> None:
    few = {f"layers.{i}.weight": np.zeros(1) for i in range(20)}
    assert of_arrays(few) == 20
    many = {f"{i:0250d}": np.zeros(1) for i in range(40)}
    assert of_arrays(many) == 40 + (40 * 250 - FREE_TEXT) // 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1", 1),
        ("x = -1.5", 1),
        ("x = [1, 2, 3.0] * 4", 4),
        ("x = True or None", 0),
        ("x = 2j", 2),
        (f"x = {2**64 - 1}", 1),
        (f"x = {2**64}", 2),
        (f"x = {1 << 6400}", 101),
        ("x = 'abc'", 0),
        (f"x = {'a' * (FREE_TEXT + 80)!r}", 10),
        (f"x = {b'a' * (FREE_TEXT + 81)!r}", 11),
        (f"x = 'a' + f'{{x}}{'b' * (FREE_TEXT + 7)}'", 1),
        ("'''" + "a" * 5000 + "'''\n# 123\nx = 1", 1),  # no docstring, no comment
    ],
)
def test_numbers_and_long_texts_in_the_source_are_parameters(text: str, expected: int) -> None:
    assert of_source(source(text)) == expected


def test_data_spelt_in_names_costs_by_the_size_of_the_source() -> None:
    spelt = "\n".join(f"class {'ab' * 20}{i}: pass" for i in range(2000))
    size = len(normalised(spelt))
    assert of_source(source(spelt)) == -(-(size - FREE_SOURCE) // 8) > 10_000


def test_both_count() -> None:
    assert parameters({"w": np.zeros(7)}, source("x = [1, 2]")) == 9
