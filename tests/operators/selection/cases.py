"""How many random cases a loop is compared on: 150 in `make test`, 1,050 more in `make soak`.

Ranks, niching and NSGA-III's survivors have their 1,000 in `make test`; this is for the rest.
"""

from __future__ import annotations

import pytest
from hypothesis import settings

CASES = settings(max_examples=150, deadline=None, derandomize=False)  # other cases in each turn
IN_TURNS = pytest.mark.parametrize(
    "turn", [0, *(pytest.param(turn, marks=pytest.mark.soak) for turn in range(1, 8))]
)
