"""What can go wrong with a birth, and how often it is tried again. Knows no worker, no ledger.

A failure is data: each attempt ends as `scored` or as one of these kinds, in the ledger and in
`evolve show`. The defaults follow what each kind says about the genome (`Policy`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from evolve.errors import ExperimentError


class Failure(StrEnum):
    """The kind of a failed attempt; the text of `Score.error` begins with it."""

    DRIVER_LOST = "driver lost"  # the driver was killed: says nothing about the genome
    WORKER_LOST = "worker lost"  # the worker's process is gone
    NODE_LOST = "node lost"  # its whole node is gone, or was cut off
    OUT_OF_MEMORY = "out of memory"
    TIMEOUT = "timeout"
    EXCEPTION = "exception"
    INVALID = "invalid"  # an answer came, and it is no score
    INFERTILE = "infertile"  # an operator in a worker found no child
    HALTED = "halted"  # somebody must act: the run stops, and can be resumed


# What a worker may not survive: a genome that used up its attempts on these is a poison genome,
# in quarantine: a twin of it is answered with the same failure, and kills no more workers.
POISON = frozenset(
    {Failure.WORKER_LOST, Failure.NODE_LOST, Failure.OUT_OF_MEMORY, Failure.TIMEOUT}
)

# What an operator did itself: only then does another attempt draw other random numbers.
OWN_FAULT = frozenset({Failure.EXCEPTION, Failure.INVALID, Failure.INFERTILE})


@dataclass(frozen=True)
class Policy:
    """Attempts a birth gets, by the kind of their failure; the last failure is its score.

    A lost driver costs nothing: its births in flight are handed out again, without limit; so is
    what halted a run, once it is resumed.
    """

    worker_lost: int = 3
    node_lost: int = 5  # on machines that come and go it mostly says nothing about the genome
    out_of_memory: int = 2
    timeout: int = 2  # a busy machine is slow once
    exception: int = 2
    invalid: int = 1  # the same seed gives the same answer
    infertile: int = 3

    def __post_init__(self) -> None:
        for name, tries in vars(self).items():
            if isinstance(tries, bool) or not isinstance(tries, int) or tries < 1:
                raise ExperimentError(
                    f"Policy.{name} is {tries!r}; give the number of attempts, 1 or more."
                )

    def tries(self, failure: Failure) -> int:
        """How many attempts may end in `failure`, one with a limit, before it is final."""
        return {
            Failure.WORKER_LOST: self.worker_lost,
            Failure.NODE_LOST: self.node_lost,
            Failure.OUT_OF_MEMORY: self.out_of_memory,
            Failure.TIMEOUT: self.timeout,
            Failure.EXCEPTION: self.exception,
            Failure.INVALID: self.invalid,
            Failure.INFERTILE: self.infertile,
        }[failure]


def kind_of_error(error: str) -> Failure:
    """The kind at the beginning of a score's error; what names none is an exception."""
    kind = error.partition(":")[0]
    given = set(Failure) - {Failure.DRIVER_LOST, Failure.HALTED}  # a fitness cannot say those
    return Failure(kind) if kind in given else Failure.EXCEPTION


def is_poison(error: str) -> bool:
    """Whether a score's error puts its genome in quarantine."""
    return kind_of_error(error) in POISON
