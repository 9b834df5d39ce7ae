from __future__ import annotations

import pytest

from evolve.errors import Infertile
from operators.code.chains import chains
from operators.code.flow import Ends, Flow, ends, mended
from operators.code.tree import code
from operators.code.view import View, views
from tests.operators.code.starts import FORWARD, LISTED, ROWS, SEQUENTIAL, program


def region(text: str) -> View:
    return views(program(text))[0]


def of(text: str, name: str = "build/0") -> Ends:
    view = region(text)
    return ends(chains(view)[name], view)


def paired(text: str, old: str, new: str, name: str = "build/0") -> list[str]:
    """What pairing changes after `old` was replaced by `new`."""
    assert old in text
    view = region(text.replace(old, new))
    return mended(chains(view)[name], view, of(text, name)).notes


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (SEQUENTIAL, "build/0"),
        (FORWARD, ":Net"),
        (ROWS, "build/0"),
        (LISTED, "build/0"),
        (LISTED, ":Half"),
    ],
)
def test_what_fits_stays(text: str, name: str) -> None:
    view = region(text)
    walk = mended(chains(view)[name], view, of(text, name))
    assert walk.new == {}


def test_the_side_of_the_images_follows_from_what_is_flattened() -> None:
    assert of(SEQUENTIAL).side == 8
    assert of(SEQUENTIAL.replace("16 * 2 * 2", "16 * 7 * 7")).side == 28
    odd = of(SEQUENTIAL.replace("16 * 2 * 2", "16 * 2 * 3"))
    assert (odd.side, odd.factor) == (None, 6)
    assert of(FORWARD, ":Net").side is None  # pooled to one: it does not matter


def test_a_block_before_the_first_layer_hides_no_images() -> None:
    first = SEQUENTIAL.replace("nn.Conv2d(1, 8", "nn.Identity(), Gate(1), nn.Conv2d(1, 8")
    gate = "class Gate(nn.Module):\n    def __init__(self, channels):\n        pass\n\n\n"
    assert of(gate + first).flat is False


def test_what_is_flattened_before_the_first_layer_has_a_known_width() -> None:
    gone = LISTED[LISTED.index("        Half(1, 8),") : LISTED.index("        nn.Adaptive")]
    assert paired(LISTED, gone, "") == ["Linear(16, 10) -> Linear(1, 10)"]
    two = LISTED.replace("Pool2d(1)", "Pool2d(2)").replace("(16, 10)", "(64, 10)")
    assert paired(two, gone, "") == ["Linear(64, 10) -> Linear(4, 10)"]


def test_ends() -> None:
    found = of(SEQUENTIAL)
    assert (found.first, found.flat, found.last) == (1, False, Flow(10, None, False, True))
    assert (of(ROWS).first, of(ROWS).last.width) == (64, 10)


def test_the_next_layer_takes_what_a_layer_leaves() -> None:
    assert paired(SEQUENTIAL, "nn.Conv2d(1, 8", "nn.Conv2d(1, 12") == [
        "BatchNorm2d(8) -> BatchNorm2d(12)",
        "Conv2d(8, 16, kernel_size=3, padding=1, bias=False)"
        " -> Conv2d(12, 16, kernel_size=3, padding=1, bias=False)",
    ]
    assert paired(SEQUENTIAL, "(8, 16,", "(8, 22,") == [
        "GroupNorm(4, 16) -> GroupNorm(2, 22)",
        "Linear(16 * 2 * 2, 32) -> Linear(88, 32)",
    ]
    assert paired(FORWARD, "Linear(16, 24)", "Linear(16, 20)", ":Net") == [
        "Linear(24, 10) -> Linear(20, 10)"
    ]


def test_rows_are_as_long_as_the_images_left_are_large() -> None:
    assert paired(SEQUENTIAL, "nn.Conv2d(1, 8, 3, padding=1)", "nn.Conv2d(1, 8, 3, 2, 1)") == [
        "Linear(16 * 2 * 2, 32) -> Linear(16, 32)"
    ]
    odd = SEQUENTIAL.replace("16 * 2 * 2", "16 * 2 * 3")
    assert paired(odd, "(8, 16,", "(8, 20,")[1:] == ["Linear(16 * 2 * 3, 32) -> Linear(120, 32)"]


def test_depthwise_stays_depthwise_and_what_is_tied_keeps_its_width() -> None:
    notes = paired(LISTED, "Half(8, 12", "Half(8, 18")
    assert notes[0].endswith("-> Conv2d(18, 18, 3, padding=1, groups=18)")
    assert notes[1:] == ["Half(12, 16, stride=2) -> Half(18, 16, stride=2)"]
    wider = FORWARD.replace("16, 16, 3", "16, 20, 3")
    view = region(wider)
    walk = mended(chains(view)[":Net"], view, of(FORWARD, ":Net"))
    assert [code(call) for call in walk.new.values()] == ["nn.Conv2d(16, 16, 3, padding=1)"]


def test_both_ends_of_a_chain_are_kept() -> None:
    assert paired(SEQUENTIAL, "nn.Conv2d(1, 8", "nn.Conv2d(3, 8")[0].endswith(
        "Conv2d(1, 8, 3, padding=1)"
    )
    assert paired(ROWS, "nn.Linear(hidden, 10)", "nn.Linear(hidden, 12)") == [
        "Linear(hidden, 12) -> Linear(hidden, 10)"
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("nn.Flatten(),", "", "images, not rows"),
        ("nn.GELU(),", "nn.Flatten(),", "rows, not images"),
        ("nn.Conv2d(1, 8, 3, padding=1)", "nn.Conv2d(1, 8, 9)", "pixels a side"),
        ("nn.Linear(32, CLASSES),", "nn.Flatten(), nn.Conv2d(32, 10, 1)", "rows, not images"),
    ],
)
def test_what_cannot_fit_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(Infertile, match=message):
        paired(SEQUENTIAL, old, new)


def test_beyond_what_is_not_known_nothing_is_paired() -> None:
    gap = SEQUENTIAL.replace("nn.GELU(),", "unknown(3),")
    assert paired(gap, "(8, 16,", "(8, 22,") == ["GroupNorm(4, 16) -> GroupNorm(2, 22)"]
