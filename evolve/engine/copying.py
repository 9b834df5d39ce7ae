"""The backup of a run while it goes: now and then, and at its end. Never stops the run."""

from __future__ import annotations

from dataclasses import dataclass

from evolve.engine.events import Event, Kind, Observer
from evolve.errors import StoreError
from evolve.experiment import Watcher
from evolve.store.backup import Backup


@dataclass(frozen=True)
class Copying:
    """Copies by `backup` (None: there is none to be made); what fails is said."""

    backup: Backup | None
    watcher: Watcher
    observe: Observer

    def turn(self) -> None:
        """A copy if one is due; called between two turns of the loop."""
        if self.backup is not None and self.backup.due():
            self.end()

    def end(self) -> None:
        """A copy now."""
        if self.backup is None:
            return
        try:
            self.backup.copy()
        except StoreError as error:
            self.watcher.says(f"The backup failed, the run goes on: {error}")
        else:
            self.observe(Event(Kind.BACKUP, detail=self.backup.target))
