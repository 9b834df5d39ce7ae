"""What one folder's chats have asked, been answered and spent. Knows no endpoint.

Before a request, the most it could take is reserved; after it, the reservation is replaced by
what it took. So the sum never passes the cap, for any number of threads of one process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from evolve.chat.transcripts import Exchange, Transcripts
from evolve.errors import BudgetSpent, ChatError, ExperimentError


@dataclass(frozen=True)
class Charge:
    """Tokens, and what they cost in the currency of the prices."""

    tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: Charge) -> Charge:
        return Charge(self.tokens + other.tokens, self.cost + other.cost)


@dataclass(frozen=True)
class Cap:
    """The most that a folder's chats may spend; None: no limit.

    `cost` is in the currency of `price_in` and `price_out`, which are for a million tokens of
    prompts and of answers.
    """

    tokens: int | None = None
    cost: float | None = None
    price_in: float = 0.0
    price_out: float = 0.0

    def __post_init__(self) -> None:
        if self.tokens is not None and self.tokens < 0:
            raise ExperimentError(f"Cap has tokens={self.tokens}; give 0 or more, or None.")
        if self.cost is not None and not self.cost >= 0:
            raise ExperimentError(f"Cap has cost={self.cost}; give 0 or more, or None.")
        if not (self.price_in >= 0 and self.price_out >= 0):
            raise ExperimentError(
                f"Cap has price_in={self.price_in}, price_out={self.price_out}; give prices of "
                "0 or more for a million tokens."
            )
        if self.cost is not None and not (self.price_in or self.price_out):
            raise ExperimentError(
                f"Cap has cost={self.cost} and no prices, so nothing would ever cost; give "
                "price_in and price_out, for a million tokens."
            )

    def charge(self, prompt_tokens: int, completion_tokens: int) -> Charge:
        """What these tokens count for."""
        cost = (prompt_tokens * self.price_in + completion_tokens * self.price_out) / 1e6
        return Charge(prompt_tokens + completion_tokens, cost)

    def admits(self, charge: Charge) -> bool:
        return (self.tokens is None or charge.tokens <= self.tokens) and (
            self.cost is None or charge.cost <= self.cost
        )


class Account:
    """The exchanges and the spendings of one file of transcripts (None: of memory alone)."""

    def __init__(self, file: Path | None) -> None:
        self._transcripts = Transcripts(file)
        self._changed = threading.Condition()
        self._held: dict[int, Charge] = {}  # reservations of attempts under way
        self._settled: dict[int, Charge] = {}  # of attempts that ended and are not on record yet
        self._holds = 0
        self._asking: dict[str, Future[Exchange]] = {}

    def spent(self) -> Charge:
        """In all, since the file was begun."""
        with self._changed:
            return self._total()

    def recall(self, key: str) -> Exchange | None:
        """What is on record for `key`: an answer, else the last failure."""
        with self._changed:
            return self._transcripts.find(key)

    def once(self, key: str, deadline: float, ask: Callable[[], Exchange]) -> Exchange:
        """The answer on record, or `ask()`, which only one thread runs at a time for a key.

        The others get its outcome, be it an error; they wait until `deadline`, monotonic.
        """
        with self._changed:
            found = self._transcripts.find(key)
            if found is not None and found.reply is not None:
                return replace(found, replayed=True)
            asking = self._asking.get(key)
            if asking is None:
                mine = self._asking[key] = Future()
        if asking is not None:
            try:
                return asking.result(timeout=max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                raise ChatError(
                    "Another thread has asked the same and has no answer in this one's time; "
                    "give a longer timeout, or another sample."
                ) from None
        try:
            exchange = ask()
        except BaseException as error:
            stopped = ChatError("The thread that asked the same was stopped; ask again.")
            mine.set_exception(error if isinstance(error, Exception) else stopped)
            raise
        else:
            mine.set_result(exchange)
            return exchange
        finally:
            with self._changed:
                del self._asking[key]

    def reserve(self, most: Charge, cap: Cap, deadline: float) -> int:
        """Set `most` aside; the number of the reservation, for `settle`.

        Waits, until `deadline`, for other threads' reservations that may turn out smaller.
        Raises `BudgetSpent` if even without them it could pass the cap.
        """
        with self._changed:
            while True:
                spent = self._total()
                if not cap.admits(spent + most):
                    raise BudgetSpent(_over(spent, most, cap))
                if cap.admits(sum(self._held.values(), spent) + most):
                    break
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    raise ChatError(
                        "The rest of the cap is reserved by requests under way, and none of them "
                        "ended in time; ask in fewer threads, or give a longer timeout."
                    )
            self._holds += 1
            self._held[self._holds] = most
            return self._holds

    def settle(self, hold: int, charge: Charge) -> None:
        """Replace a reservation by what was taken."""
        with self._changed:
            del self._held[hold]
            self._settled[hold] = charge
            self._changed.notify_all()

    def record(self, exchange: Exchange, holds: Sequence[int]) -> None:
        """Put an exchange on record: durable when this returns.

        `holds`: its settled reservations, whose charges are from now on the record's.
        """
        with self._changed:
            self._transcripts.append(exchange)
            for hold in holds:
                del self._settled[hold]

    def _total(self) -> Charge:
        # Summed anew: floats that are added and taken away again would drift.
        return sum(self._settled.values(), Charge(*self._transcripts.charged()))


def _over(spent: Charge, most: Charge, cap: Cap) -> str:
    if cap.tokens is not None and spent.tokens + most.tokens > cap.tokens:
        return (
            f"{spent.tokens:,} of the cap's {cap.tokens:,} tokens are spent, and the next request "
            f"could take {most.tokens:,} (a token for each byte of the prompt, and the whole "
            "limit of the answer), so it was not sent; resume with a larger Cap(tokens=...), or "
            "ask with a smaller max_tokens."
        )
    return (
        f"{spent.cost:.6g} of the cap's cost of {cap.cost:.6g} are spent, and the next request "
        f"could cost {most.cost:.6g} (a token for each byte of the prompt, and the whole limit of "
        "the answer), so it was not sent; resume with a larger Cap(cost=...), or ask with a "
        "smaller max_tokens."
    )
