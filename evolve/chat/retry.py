"""The one layer of retries: attempts and waits, all by one deadline, each within the cap.

A slow answer is waited for until the deadline rather than asked for again: that would be billed
twice. Knows no transport; what an attempt is, comes in.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from evolve.chat.account import Account, Cap, Charge
from evolve.chat.protocol import Answer, Failure
from evolve.chat.request import Request
from evolve.chat.transcripts import Attempt, Exchange
from evolve.errors import ChatDeclined, ChatError, ChatForbidden, Halt

FORBIDDEN = frozenset({"status 401", "status 403", "status 404", "quota"})  # whatever is asked
_USELESS = 3  # empty or malformed answers that one question is worth: each is billed
_LONGEST = 30.0  # seconds of a wait that the server did not ask for

Ask = Callable[[Request, frozenset[str], float], Answer | Failure]
"""One attempt: the request, the parameters to leave out, and the deadline."""


class Manners:
    """Which parameters each model was seen to refuse; of this process, for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refused: dict[tuple[str | None, str], frozenset[str]] = {}

    def refused(self, base_url: str | None, model: str) -> frozenset[str]:
        with self._lock:
            return self._refused.get((base_url, model), frozenset())

    def learn(self, base_url: str | None, model: str, refused: frozenset[str]) -> None:
        with self._lock:
            self._refused[base_url, model] = refused


@dataclass(frozen=True)
class Tries:
    """How to ask, and until when. `refused`: parameters that the model is known not to take."""

    ask: Ask
    cap: Cap
    seconds: float
    deadline: float
    refused: frozenset[str] = frozenset()


def converse(request: Request, account: Account, tries: Tries) -> tuple[Exchange, frozenset[str]]:
    """The exchange, on record, and the parameters that had to be left out for it.

    Raises `ChatError` if no attempt gives an answer by the deadline, `BudgetSpent` before one
    that could pass the cap; attempts already made are then on record too, with their charges.
    """
    talk = _Talk(request, account, tries)
    try:
        while True:
            found = talk.attempt()
            if isinstance(found, Answer):
                return talk.record(found, None), talk.refused
            talk.wait(found)
    except (ChatError, Halt) as error:
        if talk.holds:
            talk.record(None, str(error))
        raise


class _Talk:
    """The attempts at one request so far."""

    def __init__(self, request: Request, account: Account, tries: Tries) -> None:
        self.refused = tries.refused
        self.holds: list[int] = []
        self._request = request
        self._account = account
        self._tries = tries
        self._began = time.monotonic()
        self._failed: list[Attempt] = []
        self._charge = Charge()
        self._overrun = 0
        self._usage = (0, 0)
        self._estimated = False

    def attempt(self) -> Answer | Failure:
        """Ask once within the cap; an empty answer is a failure."""
        request, tries = self._request, self._tries
        most = tries.cap.charge(request.prompt_bound, request.max_tokens)
        hold = self._account.reserve(most, tries.cap, tries.deadline)
        charge = most  # also if the thread is stopped here: it may have been sent
        try:
            found = tries.ask(request, self.refused, tries.deadline)
            charge = self._charged(found, most)
        finally:
            self._account.settle(hold, charge)
            self.holds.append(hold)
            self._charge += charge
        self._overrun += max(0, charge.tokens - most.tokens)
        if isinstance(found, Answer) and not found.text.strip():
            detail = f"finish_reason {found.finish}"
            if found.finish == "length":
                detail += f": the limit of {request.max_tokens} tokens went elsewhere; raise it"
            found = Failure("empty", detail, again=True)
        if isinstance(found, Failure):
            self._failed.append(Attempt(found.kind, found.detail, charge.tokens))
        return found

    def wait(self, failure: Failure) -> None:
        """Until the next attempt may be made. Raises `ChatError` if there should be none."""
        new = failure.refused - self.refused
        if new:
            self.refused |= new
            return
        if not failure.again:
            told = self._told("the endpoint declined, and would again")
            raise ChatForbidden(told) if failure.kind in FORBIDDEN else ChatDeclined(told)
        if sum(each.kind in ("empty", "malformed") for each in self._failed) >= _USELESS:
            raise ChatError(self._told(f"{_USELESS} replies held no answer"))
        pause = delay(self._request.key, len(self._failed), self._tries.seconds)
        pause = max(pause, failure.after or 0.0)
        left = self._tries.deadline - time.monotonic()
        if pause >= left:
            raise ChatError(
                self._told(
                    f"its timeout of {self._tries.seconds:g} s is up"
                    if left <= 0
                    else f"the next attempt would be in {pause:.2f} s, and {left:.2f} s of its "
                    f"timeout of {self._tries.seconds:g} s are left"
                )
            )
        time.sleep(pause)

    def record(self, answer: Answer | None, error: str | None) -> Exchange:
        """Put it all on record."""
        exchange = Exchange(
            key=self._request.key,
            request=self._request.as_json(),
            reply=None if answer is None else answer.text,
            error=error,
            prompt_tokens=self._usage[0] if answer else 0,
            completion_tokens=self._usage[1] if answer else 0,
            estimated=self._estimated if answer else False,
            overrun=self._overrun,
            charged=self._charge.tokens,
            cost=self._charge.cost,
            seconds=time.monotonic() - self._began,
            attempts=tuple(self._failed),
            time=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._account.record(exchange, self.holds)
        return exchange

    def _charged(self, found: Answer | Failure, most: Charge) -> Charge:
        """What an attempt counts for: its usage; all of the reservation if it may be billed."""
        if isinstance(found, Failure):
            return most if found.billed else Charge()
        self._estimated = found.usage is None
        if found.usage is not None:
            self._usage = found.usage
        else:  # no token is shorter than a byte, and the answer is no longer than its limit
            said = len(found.text.encode("utf-8")) + found.hidden_bytes
            self._usage = (self._request.prompt_bound, min(said, self._request.max_tokens))
        return self._tries.cap.charge(*self._usage)

    def _told(self, why: str) -> str:
        """The error's text: what was asked, why it ended, and each attempt."""
        kinds = ", ".join(each.kind for each in self._failed)
        return (
            f"{self._request.model!r} gave no answer: {why}. Failed attempts: {kinds}; the last "
            f"one said: {self._failed[-1].detail}."
        )


def delay(key: str, failures: int, seconds: float) -> float:
    """The wait after so many failures: doubled each time, and spread by the key alone.

    The first is about a 200th of the budget of `seconds`, at most 1 s.
    """
    drawn = hashlib.sha256(f"{key} {failures}".encode()).digest()
    spread = 0.5 + int.from_bytes(drawn[:4], "big") / 2**32  # 0.5 to 1.5
    first = min(1.0, seconds / 200)
    return min(_LONGEST, first * 2.0 ** min(failures - 1, 32)) * spread
