"""What Ray's errors mean for the engine: which kind of failure, in which words."""

from __future__ import annotations

import re

from evolve.engine.cluster.evaluator import Place
from evolve.engine.cluster.nodes import living
from evolve.failure import Failure


def end_of(error: Exception, place: Place | None) -> tuple[Failure, str]:
    """Why a worker at `place` gave no answer.

    A node's loss is told by Ray's words, or by the list of nodes: whichever knows it first.
    """
    import ray

    words = plain(str(error))
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return Failure.OUT_OF_MEMORY, words
    if "node has died" in words or "node is dead" in words or "node was" in words:
        return Failure.NODE_LOST, words
    if place is not None and place.node not in living():
        return Failure.NODE_LOST, words
    return Failure.WORKER_LOST, words


def plain(words: str) -> str:
    """Ray's words without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", words).strip()
