"""The states of a birth and of a worker, and every way from one to the next.

A birth:

      planned ──────────┐  (its operator needs a worker; else it begins as proposed)
         │  ▲           │
         ▼  │ retry     │
      varying ──────────┤
         │              │
         ▼              ▼
      proposed ──▶ dispatched(attempt, epoch) ──▶ scored ──▶ committed
         │   ▲           │                          ▲
         │   └── retry ──┤ failed(kind)             │
         │               └──▶ failed ───────────────┤  the last attempt's failure is its score;
         └──── twin: answered from the ledger ──────┘  of a poison kind: quarantined

    planned     a row of `birth` without a genome             (survives a lost driver)
    varying     an attempt of the stage "vary" is open
    proposed    a row of `birth` with its genome              (survives)
    dispatched  an attempt of the stage "evaluate" is open; a new epoch ends it: "driver lost"
    scored      a row of `score`                              (survives)
    committed   that row has its place in the order of telling (survives)

An attempt belongs to the epoch that opened it and ends once. A result of an attempt that has
ended, or of an earlier epoch, is fenced: the ledger writes that it came late, nothing else.

A worker:

      waiting ──▶ starting ──▶ ready ◀──▶ busy
         ▲           │           │          │
         └───────────┴── dead ◀──┴──────────┘    crash, kill, lost node, passed limit

    waiting     no node has room for it now; nodes may join
    starting    its process is being made; `Needs.startup` runs
    busy        `Needs.timeout` runs
"""

from __future__ import annotations

from enum import Enum
from typing import TypeVar


class BirthState(Enum):
    PLANNED = "planned"
    VARYING = "varying"
    PROPOSED = "proposed"
    DISPATCHED = "dispatched"
    SCORED = "scored"
    COMMITTED = "committed"


class WorkerState(Enum):
    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    BUSY = "busy"
    DEAD = "dead"


B, W = BirthState, WorkerState
WAYS: dict[Enum, frozenset[Enum]] = {
    B.PLANNED: frozenset({B.VARYING}),
    B.VARYING: frozenset({B.PLANNED, B.PROPOSED}),
    B.PROPOSED: frozenset({B.DISPATCHED, B.SCORED}),
    B.DISPATCHED: frozenset({B.PROPOSED, B.SCORED}),
    B.SCORED: frozenset({B.COMMITTED}),
    B.COMMITTED: frozenset(),
    W.WAITING: frozenset({W.STARTING}),
    W.STARTING: frozenset({W.READY, W.DEAD}),
    W.READY: frozenset({W.BUSY, W.DEAD}),
    W.BUSY: frozenset({W.READY, W.DEAD}),
    W.DEAD: frozenset({W.WAITING}),
}

S = TypeVar("S", BirthState, WorkerState)


def step(now: S, then: S) -> S:
    """`then`, if a way leads there from `now`."""
    assert then in WAYS[now], f"no way from {now.value} to {then.value}"
    return then
