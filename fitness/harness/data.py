"""Labelled samples in two parts: what a program trains on, and what it is scored on.

Knows arrays only. The labels of the second part never enter a box.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evolve.errors import FitnessError


@dataclass(frozen=True, eq=False)
class Data:
    """`train_inputs` (n, ...) and `inputs` (k, ...): finite float32, or uint8 which the program
    scales, each sample of one shape; `train_labels` (n,) and `labels` (k,) int64 from 0.

    Raises `FitnessError` for anything else.
    """

    train_inputs: np.ndarray
    train_labels: np.ndarray
    inputs: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        for part, inputs, labels in (
            ("train_", self.train_inputs, self.train_labels),
            ("", self.inputs, self.labels),
        ):
            known = inputs.dtype in (np.float32, np.uint8) and inputs.ndim > 1
            if not known or not np.isfinite(inputs).all():
                raise FitnessError(
                    f"Data.{part}inputs is {inputs.dtype} {inputs.shape}, expected finite float32 "
                    "or uint8 (n, ...); use .astype(np.float32)."
                )
            wrong = labels.dtype != np.int64 or labels.shape != inputs.shape[:1]
            if wrong or not len(labels) or labels.min() < 0:
                raise FitnessError(
                    f"Data.{part}labels is {labels.dtype} {labels.shape}, expected int64 "
                    f"({len(inputs)},), each 0 or more, and one sample at least."
                )
        kinds = [(part.dtype, part.shape[1:]) for part in (self.train_inputs, self.inputs)]
        if kinds[0] != kinds[1]:
            raise FitnessError(
                f"Data has training samples of {kinds[0][0]} {kinds[0][1]} and others of "
                f"{kinds[1][0]} {kinds[1][1]}; give both one dtype and shape."
            )
        if self.labels.max() >= self.classes:
            raise FitnessError(
                f"Data.labels has the class {self.labels.max()}, which Data.train_labels lacks; "
                "nobody could learn it."
            )

    @property
    def classes(self) -> int:
        """One more than the largest training label."""
        return int(self.train_labels.max()) + 1

    def tested(self, inputs: np.ndarray, labels: np.ndarray) -> Data:
        """The same training part, scored on other samples: the sealed test."""
        return Data(self.train_inputs, self.train_labels, inputs, labels)
