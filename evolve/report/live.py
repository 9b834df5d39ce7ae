"""Progress while a run goes: a live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evolve.archive.front import Front
from evolve.experiment import Experiment
from evolve.score import Record

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_EVERY = 20.0  # seconds between lines where there is no terminal


class Live:
    """A watcher that shows births, births/s, best per objective, front, failures, time left.

    With one objective also what the births scored that the final test names as baselines.
    """

    def __init__(self, console: Console) -> None:
        from rich.live import Live as RichLive

        self._console = console
        self._live = RichLive(console=console, refresh_per_second=4, transient=True)
        self._births = self._told = self._before = self._failed = 0
        self._begun = self._printed = 0.0
        self._front: Front[Any] = Front(())
        self._names: dict[int, str] = {}  # of births
        self._baselines: dict[str, Record[Any]] = {}

    def __enter__(self) -> Live:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._live.stop()

    def started(self, experiment: Experiment[Any], births: int) -> None:
        self._births = births
        self._front = Front(experiment.fitness.objectives)
        self._printed = time.monotonic()
        final = experiment.final
        if final is not None and len(experiment.fitness.objectives) == 1:
            self._names = {birth: name for name, birth in final.births.items()}

    def resumed(self, told: int, elites: Sequence[Record[Any]]) -> None:
        self._told = told
        for record in elites:
            self._add(record)

    def told(self, record: Record[Any]) -> None:
        from rich.text import Text

        now = time.monotonic()
        self._told += 1
        if not self._begun:  # the rate counts from here: workers take their time to start
            self._begun, self._before = now, self._told
        self._failed += record.score.error is not None
        self._add(record)
        if self._console.is_terminal:
            self._live.update(Text(self._line(now)))
        elif now - self._printed >= PLAIN_EVERY or self._told == self._births:
            self._printed = now
            self.says(self._line(now))

    def says(self, words: str) -> None:
        self._console.print(words, markup=False, soft_wrap=True)

    def _add(self, record: Record[Any]) -> None:
        self._front.add(record)
        if record.birth in self._names and record.score.error is None:
            self._baselines[self._names[record.birth]] = record

    def _line(self, now: float) -> str:
        rate = (self._told - self._before) / max(now - self._begun, 1e-9)
        left = (self._births - self._told) / rate if rate > 0 else 0.0
        best = ""
        if self._front.records:
            for i, objective in enumerate(self._front.objectives):
                value = self._front.best(objective.name).score.values[i]
                best += f" · {objective.name} {value:.4g}"
            rung = self._front.records[0].rung  # other rungs have other samples
            known = [
                f"{name} {each.score.values[0]:.4g}"
                for name, each in self._baselines.items()
                if each.rung == rung
            ]
            best += f" ({', '.join(known)})" if known else ""
        return (
            f"{self._told}/{self._births} births · {rate:.2g}/s{best} · front "
            f"{len(self._front)} · {self._failed} failed · {left / 60:.1f} min left"
        )
