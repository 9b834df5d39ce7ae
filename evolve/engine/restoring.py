"""The short way back: a search restored from the ledger, instead of told everything again."""

from __future__ import annotations

from collections.abc import Sequence

from evolve.genome import Genome
from evolve.search.protocol import Restorable, Search
from evolve.store.ledger import Ledger

APART = 1_000  # births between two snapshots of a search, or its window if that is more


def restored(search: Search[Genome], ledger: Ledger, unasked: Sequence[int]) -> int:
    """How many scores `search` has been told by being restored; 0 if it must be told all.

    `unasked`: births that are still to be asked, at the moment when they would have been: the
    snapshot must lie before it.
    """
    if not isinstance(search, Restorable):
        return 0
    first = min(search.seen(birth) for birth in unasked)
    orders = [order for order in ledger.snapshots() if order <= first]
    if not orders:
        return 0
    search.restore(ledger.snapshot(orders[-1]), ledger.records_of)
    return orders[-1]


def keep_snapshot(search: Search[Genome], ledger: Ledger, told: int) -> None:
    """Write `search` down if it is time for it."""
    if told % APART or not isinstance(search, Restorable):
        return
    window = told - search.seen(told)
    if told % max(APART, -(-window // APART) * APART):
        return
    packed = search.snapshot()
    if packed is not None:
        ledger.set_snapshot(told, packed)
