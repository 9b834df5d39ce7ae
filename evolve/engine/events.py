"""What the engine tells those who look on: one typed event a change. Knows no observer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Kind(StrEnum):
    """What happened."""

    PLANNED = "planned"  # a birth: its operator goes to a worker
    BORN = "born"  # a birth has its genome
    DISPATCHED = "dispatched"  # an attempt begins
    ANSWERED = "answered"  # an attempt ended with scores, or a child
    FAILED = "failed"  # an attempt ended with a failure; `detail` begins with its kind
    FENCED = "fenced"  # a result came after its attempt had ended: refused
    QUARANTINED = "quarantined"  # a genome that its workers do not survive
    TOLD = "told"  # a score is told to the search
    QUEUE = "queue"  # `count` births wait for a worker
    WORKER = "worker"  # a worker changed its state; `detail` is the new one
    NODES = "nodes"  # nodes came or went: workers that there is room for is `count` now
    BACKUP = "backup"  # the ledger was copied to `detail`


@dataclass(frozen=True)
class Event:
    """One change: which birth, attempt, epoch and worker it concerns, as far as it has them."""

    kind: Kind
    birth: int | None = None
    attempt: int | None = None
    epoch: int | None = None
    worker: str = ""
    seconds: float | None = None  # of the attempt that ended, or of the worker's start
    count: int | None = None
    detail: str = ""


Observer: TypeAlias = Callable[[Event], None]
