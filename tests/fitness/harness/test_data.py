from dataclasses import replace

import numpy as np
import pytest

from evolve.errors import FitnessError
from fitness.harness import Data
from tests.fitness.harness.tiny import data


def test_classes_are_counted_from_the_training_labels() -> None:
    assert data().classes == 3


def test_the_sealed_test_keeps_the_training_part() -> None:
    plain = data()
    sealed = plain.tested(plain.inputs[:5], plain.labels[:5])
    assert sealed.train_inputs is plain.train_inputs
    assert sealed.train_labels is plain.train_labels
    assert sealed.inputs.shape == (5, 4)


def test_bytes_are_samples_too() -> None:
    small = np.zeros((4, 1, 2, 2), np.uint8)
    labels = np.array([0, 1, 0, 1])
    assert Data(small, labels, small, labels).classes == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inputs": np.zeros((60, 4))}, "float64"),
        ({"inputs": np.full((60, 4), np.nan, np.float32)}, "expected finite"),
        ({"inputs": np.zeros(60, np.float32)}, r"\(60,\), expected finite float32"),
        ({"inputs": np.zeros((60, 5), np.float32)}, "give both one dtype and shape"),
        ({"labels": np.zeros(59, np.int64)}, r"expected int64 \(60,\)"),
        ({"labels": np.zeros(60, np.int32)}, "Data.labels is int32"),
        ({"labels": np.full(60, -1)}, "each 0 or more"),
        ({"labels": np.full(60, 3)}, "which Data.train_labels lacks"),
        ({"train_labels": np.zeros(60)}, "Data.train_labels is float64"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(FitnessError, match=words):
        replace(data(), **change)
