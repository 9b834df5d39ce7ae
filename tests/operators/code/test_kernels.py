from __future__ import annotations

from operators.code import kernels
from tests.operators.code.children import edits
from tests.operators.code.starts import FORWARD, LISTED, SEQUENTIAL


def changes(text: str) -> set[str]:
    return set(edits(kernels(), text, rounds=5))


def test_kernels_keep_the_side_and_strides_fit_what_follows() -> None:
    found = changes(SEQUENTIAL)
    first = "Conv2d(1, 8, 3, padding=1) -> "
    assert first + "Conv2d(1, 8, 5, padding=2)" in found
    assert first + "Conv2d(1, 8, 1, padding=0)" in found
    assert (
        first + "Conv2d(1, 8, 3, padding=1, stride=2); Linear(16 * 2 * 2, 32) -> Linear(16, 32)"
    ) in found
    assert "MaxPool2d(2) -> MaxPool2d(3, stride=2, padding=1)" in found
    assert any(change.endswith("groups=8)") for change in found)


def test_pooled_sizes() -> None:
    found = changes(FORWARD)
    assert (
        "adaptive_avg_pool2d(x, 1) -> adaptive_avg_pool2d(x, 2); Linear(16, 24) -> Linear(64, 24)"
    ) in found
    assert "AdaptiveAvgPool2d(1) -> AdaptiveAvgPool2d(2); Linear(16, 10) -> Linear(64, 10)" in (
        changes(LISTED)
    )


def test_what_is_tied_keeps_its_side() -> None:
    assert not [c for c in changes(LISTED) if "groups=12, stride" in c]
