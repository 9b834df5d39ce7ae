"""Which of many snapshots to keep: few, dense where they are new. Knows only numbers."""

from __future__ import annotations

from collections.abc import Sequence


def crowded(orders: Sequence[int]) -> list[int]:
    """Of ascending `orders` those that can go: their neighbours are as near as the newest is.

    What stays of n are some 2 log2 n, dense where they are new.
    """
    kept = list(orders)
    i = 1
    while i < len(kept) - 2:
        if kept[i + 1] - kept[i - 1] <= kept[-1] - kept[i + 1]:
            del kept[i]
        else:
            i += 1
    return sorted(set(orders) - set(kept))
