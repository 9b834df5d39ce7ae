"""A model that does not answer is left alone for a while, so that a stalled server costs little.

A circuit breaker (Nygard 2007, "Release It!"): after two failures in a row nothing is sent for a
pause, then one question is let through; its failure doubles the pause, an answer ends it. Of this
process, for all threads. Knows no endpoint.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from evolve.errors import ChatError

FAILURES = 2  # in a row, before it is left alone
LONGEST = 600.0  # seconds of a pause


@dataclass
class _State:
    failures: int = 0  # since its last answer
    pause: float = 0.0
    until: float = 0.0  # monotonic
    probing: bool = False  # the one that was let through has not come back


class Absences:
    """Which models do not answer now, by endpoint and name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: dict[tuple[str | None, str], _State] = {}

    def check(self, base_url: str | None, model: str) -> None:
        """Raise `ChatError` while the model is left alone; then one question passes."""
        now = time.monotonic()
        with self._lock:
            state = self._states.get((base_url, model))
            if state is None or state.failures < FAILURES:
                return
            if now < state.until:
                raise ChatError(
                    f"{model!r} gave no answer {state.failures} times in a row and is left alone "
                    f"for {state.until - now:.0f} s more; look after its server."
                )
            state.until = now + state.pause  # one is let through; the others wait for its answer
            state.probing = True

    def answered(self, base_url: str | None, model: str) -> None:
        """The model answers (again)."""
        with self._lock:
            self._states.pop((base_url, model), None)

    def failed(self, base_url: str | None, model: str, pause: float) -> None:
        """The model gave no answer; the first pause is of `pause` seconds."""
        with self._lock:
            state = self._states.setdefault((base_url, model), _State())
            state.failures += 1
            if state.failures < FAILURES:
                return
            if state.probing or not state.pause:  # else one more of those sent before the pause
                state.pause = min(LONGEST, 2.0 * state.pause or pause)
                state.until = time.monotonic() + state.pause
                state.probing = False
