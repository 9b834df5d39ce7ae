from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evolve.chat.account import Account, Cap, Charge
from evolve.chat.transcripts import NAME, Exchange
from evolve.errors import BudgetSpent, ChatError, ExperimentError

CAP = Cap(tokens=100)


def soon(seconds: float = 20.0) -> float:
    return time.monotonic() + seconds


def taken(account: Account, key: str, charge: Charge) -> None:
    hold = account.reserve(charge, Cap(), soon())
    account.settle(hold, charge)
    exchange = Exchange(key, {}, "yes", charged=charge.tokens, cost=charge.cost)
    account.record(exchange, [hold])


@pytest.mark.parametrize(
    ("cap", "told"),
    [
        ({"tokens": -1}, "0 or more"),
        ({"cost": float("nan"), "price_in": 1.0}, "0 or more"),
        ({"price_in": -1.0}, "prices"),
        ({"cost": 1.0}, "no prices"),
    ],
)
def test_a_cap_that_makes_no_sense_is_refused(cap: dict[str, float], told: str) -> None:
    with pytest.raises(ExperimentError, match=told):
        Cap(**cap)  # type: ignore[arg-type]


def test_prices_are_for_a_million() -> None:
    charge = Cap(price_in=1.0, price_out=10.0).charge(1_000_000, 100_000)
    assert charge == Charge(1_100_000, 2.0)


def test_a_request_that_could_pass_the_cap_is_refused_with_figures() -> None:
    account = Account(None)
    taken(account, "a", Charge(60))
    assert account.reserve(Charge(40), CAP, soon()) > 0
    with pytest.raises(BudgetSpent, match=r"60 of the cap's 100 tokens .* could take 41"):
        account.reserve(Charge(41), CAP, soon())


def test_cost_is_capped_too() -> None:
    account = Account(None)
    cap = Cap(cost=1.0, price_in=1.0)
    taken(account, "a", Charge(5, 0.75))
    with pytest.raises(BudgetSpent, match=r"0\.75 of the cap's cost of 1 .* could cost 0\.5"):
        account.reserve(Charge(1, 0.5), cap, soon())


def test_a_reservation_is_replaced_by_what_was_taken_and_then_by_the_record() -> None:
    account = Account(None)
    hold = account.reserve(Charge(90, 9.0), CAP, soon())
    assert account.spent() == Charge()
    account.settle(hold, Charge(10, 1.0))
    assert account.spent() == Charge(10, 1.0)
    account.record(Exchange("a", {}, "yes", charged=10, cost=1.0), [hold])
    assert account.spent() == Charge(10, 1.0)


def test_spending_is_read_back(tmp_path: Path) -> None:
    taken(Account(tmp_path / NAME), "a", Charge(60, 0.1))
    assert Account(tmp_path / NAME).spent() == Charge(60, 0.1)


def test_a_reservation_waits_for_others_that_may_turn_out_smaller() -> None:
    account = Account(None)
    hold = account.reserve(Charge(80), CAP, soon())
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(account.reserve, Charge(80), CAP, soon())
        assert not waiting.done()
        account.settle(hold, Charge(20))
        assert waiting.result(timeout=20) > hold


def test_it_does_not_wait_beyond_its_deadline() -> None:
    account = Account(None)
    account.reserve(Charge(80), CAP, soon())
    with pytest.raises(ChatError, match="reserved by requests under way"):
        account.reserve(Charge(80), CAP, soon(0.01))


def test_the_same_question_is_asked_once_by_many_threads() -> None:
    account, begun, go = Account(None), threading.Event(), threading.Event()
    asked = []

    def ask() -> Exchange:
        asked.append(1)
        begun.set()
        assert go.wait(20)
        exchange = Exchange("a", {}, "yes")
        account.record(exchange, ())
        return exchange

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(account.once, "a", soon(), ask)
        assert begun.wait(20)
        rest = [pool.submit(account.once, "a", soon(), ask) for _ in range(3)]
        go.set()
        assert {each.result(timeout=20).reply for each in (first, *rest)} == {"yes"}
    assert len(asked) == 1
    assert account.once("a", soon(), ask).replayed
    assert len(asked) == 1


def test_a_failure_is_shared_by_those_who_wait_and_asked_anew_later() -> None:
    account, begun, go = Account(None), threading.Event(), threading.Event()

    def fail() -> Exchange:
        begun.set()
        assert go.wait(20)
        raise ChatError("no answer")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(account.once, "a", soon(), fail)
        assert begun.wait(20)
        with pytest.raises(ChatError, match="Another thread has asked the same"):
            account.once("a", soon(0.01), fail)
        second = pool.submit(account.once, "a", soon(), fail)
        go.set()
        for each in (first, second):
            with pytest.raises(ChatError, match="no answer"):
                each.result(timeout=20)
    assert account.once("a", soon(), lambda: Exchange("a", {}, "now")).reply == "now"
