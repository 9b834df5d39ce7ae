from __future__ import annotations

import torch

from operators.selection.tiles import ELSEWHERE, tile


def test_the_cpu_holds_what_it_is_told_and_others_hold_more() -> None:
    assert tile(5, torch.device("cpu")) == 5
    assert tile(5, torch.device("meta")) == ELSEWHERE
    assert tile(5, torch.device("cuda", 1), 9) == 9
