"""A run on disk, to be read: records, front, final table. Writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from evolve.archive.front import Front
from evolve.errors import StoreError
from evolve.genome import Json
from evolve.score import G, Objective, Record, Score
from evolve.store.ledger import Ledger

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class FinalRow:
    """One line of the final table."""

    name: str
    role: str  # baseline | pick
    digest: str
    birth: int | None
    validation: Score
    test: Score


@dataclass(frozen=True)
class Run(Generic[G]):
    """A run on disk, to be read: records, front, final table."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> Run[G]:
        """The run in directory `path`. Raises `StoreError` if there is none."""
        Ledger.open(path, write=False).close()
        return cls(path)

    @cached_property
    def facts(self) -> Mapping[str, Json]:
        """What the run was begun with: name, seed, births, objectives, code hash, versions."""
        return self._read(lambda ledger: ledger.facts)

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        rows = cast("Sequence[Mapping[str, Any]]", self.facts["objectives"])
        return tuple(Objective(**row) for row in rows)

    @cached_property
    def records(self) -> Sequence[Record[G]]:
        """Every told record, in commit order."""
        return cast("Sequence[Record[G]]", self._read(lambda ledger: ledger.records()))

    @cached_property
    def front(self) -> Sequence[Record[G]]:
        """The feasible, non-dominated records of the dearest rung."""
        return tuple(self._front.records)

    def best(self, objective: str) -> Record[G]:
        """The record on the front with the best value of `objective`."""
        return self._asked(lambda: self._front.best(objective))

    def knee(self) -> Record[G]:
        """The record with the smallest sum of objectives, each scaled to the front's range."""
        return self._asked(self._front.knee)

    def pick(self, choice: str) -> Record[G]:
        """`knee`, `best:OBJECTIVE` or `birth:N`. Raises `StoreError` for anything else."""
        kind, _, name = choice.partition(":")
        if choice == "knee":
            return self.knee()
        if kind == "best" and name:
            return self.best(name)
        if kind == "birth" and name.isdecimal():
            found = [record for record in self.records if record.birth == int(name)]
            if found and found[0].score.error is None:
                return found[0]
            raise StoreError(
                f"{self.path} has no scored birth {name}; births 0 to {len(self.records) - 1} "
                "were told."
            )
        raise StoreError(f"Cannot pick {choice!r}; give knee, best:OBJECTIVE or birth:N.")

    @cached_property
    def final(self) -> Sequence[FinalRow]:
        """The final table, empty until the run has finished."""
        return self._read(_final_rows)

    @cached_property
    def digest(self) -> str:
        """sha256 of genomes, scores, origins and commit order."""
        return self._read(lambda ledger: ledger.digest())

    @cached_property
    def outcomes(self) -> Mapping[str, int]:
        """How many attempts ended in which way."""
        return self._read(lambda ledger: ledger.outcomes())

    @cached_property
    def refusals(self) -> Mapping[tuple[str, str], int]:
        """How often an operator in a worker or thread found no child, by (operator, reason)."""
        return self._read(lambda ledger: ledger.refusals())

    @cached_property
    def fenced(self) -> int:
        """How many attempts had a result that came too late and was refused."""
        return self._read(lambda ledger: ledger.late())

    @cached_property
    def _front(self) -> Front[G]:
        return Front.of(self.records, self.objectives)

    def _asked(self, question: Callable[[], Record[G]]) -> Record[G]:
        try:
            return question()
        except ValueError as error:
            raise StoreError(f"{self.path}: {error}") from error

    def _read(self, take: Callable[[Ledger], T]) -> T:
        ledger = Ledger.open(self.path, write=False, verify=False)
        try:
            return take(ledger)
        finally:
            ledger.close()


def _final_rows(ledger: Ledger) -> list[FinalRow]:
    rows = ledger.final_rows()
    if not rows:
        return []
    dearest = sorted(ledger.records(), key=lambda record: record.rung)
    validation = {record.digest: record.score for record in dearest}
    table = []
    for name, role, digest, birth in rows:
        tested = ledger.final("test", digest)
        on_validation = ledger.final("validation", digest) or validation.get(digest)
        assert tested is not None, "a row follows its scores"
        assert on_validation is not None, "a row follows its scores"
        table.append(FinalRow(name, role, digest, birth, on_validation, tested))
    return table
