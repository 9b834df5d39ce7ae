from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from evolve.chat.account import Account, Cap, Charge
from evolve.chat.protocol import Answer, Failure
from evolve.chat.request import Message, Request
from evolve.chat.retry import Manners, Tries, converse, delay
from evolve.chat.transcripts import NAME
from evolve.errors import BudgetSpent, ChatDeclined, ChatError, ChatForbidden

REQUEST = Request("m", (Message("user", "Why?"),), 0.5, 100, 0)
MOST = REQUEST.prompt_bound + 100
GOOD = Answer("Because.", (30, 5))
BUSY = Failure("status 503", "busy", again=True)
LOST = Failure("disconnect", "gone", again=True, billed=True)
PLAIN: frozenset[str] = frozenset()


def tries(script: Sequence[Answer | Failure], cap: Cap | None = None, seconds: float = 5) -> Tries:
    """Attempts that end as in `script`, one after the other."""
    rest = iter(script)
    return Tries(
        lambda request, without, deadline: next(rest),
        cap or Cap(),
        seconds,
        time.monotonic() + seconds,
    )


def test_an_answer_is_charged_its_usage(tmp_path: Path) -> None:
    account = Account(tmp_path / NAME)
    exchange, _ = converse(REQUEST, account, tries([GOOD], Cap(price_in=1e6, price_out=2e6)))
    assert exchange.reply == "Because."
    assert (exchange.charged, exchange.cost, exchange.estimated) == (35, 40.0, False)
    assert Account(tmp_path / NAME).spent() == Charge(35, 40.0)


def test_failures_are_tried_again_and_told_of() -> None:
    account = Account(None)
    exchange, _ = converse(REQUEST, account, tries([BUSY, LOST, GOOD]))
    assert [each.kind for each in exchange.attempts] == ["status 503", "disconnect"]
    assert [each.charged for each in exchange.attempts] == [0, MOST]
    assert exchange.charged == MOST + 35
    assert account.spent().tokens == exchange.charged


def test_what_will_not_change_is_not_tried_again(tmp_path: Path) -> None:
    account = Account(tmp_path / NAME)
    with pytest.raises(ChatForbidden, match=r"the endpoint declined.*status 401; .* no such key"):
        converse(REQUEST, account, tries([Failure("status 401", "no such key")]))
    found = account.recall(REQUEST.key)
    assert found is not None
    assert (found.reply, found.charged) == (None, 0)
    assert "no such key" in (found.error or "")


def test_what_is_declined_once_need_not_be_the_next_time(tmp_path: Path) -> None:
    with pytest.raises(ChatDeclined, match="status 400"):
        converse(REQUEST, Account(tmp_path / NAME), tries([Failure("status 400", "too long")]))


def test_three_replies_without_an_answer_are_enough() -> None:
    empty = Answer(" \n", (30, 5))
    broken = Failure("malformed", "html", again=True, billed=True)
    account = Account(None)
    with pytest.raises(ChatError, match="3 replies held no answer"):
        converse(REQUEST, account, tries([empty, broken, empty, GOOD]))
    assert account.spent().tokens == 35 + MOST + 35


def test_an_answer_lost_to_reasoning_says_what_to_raise() -> None:
    with pytest.raises(ChatError, match="limit of 100 tokens went elsewhere; raise it"):
        converse(REQUEST, Account(None), tries([Answer("", (30, 100), 0, "length")] * 3))


def test_a_missing_usage_is_estimated_from_above() -> None:
    account = Account(None)
    exchange, _ = converse(REQUEST, account, tries([Answer("日本", None, 4)]))
    assert exchange.estimated
    assert (exchange.prompt_tokens, exchange.completion_tokens) == (REQUEST.prompt_bound, 10)
    longer, _ = converse(replace(REQUEST, sample=1), account, tries([Answer("x" * 5000, None)]))
    assert longer.completion_tokens == 100


def test_more_than_was_reserved_is_counted_and_told() -> None:
    account = Account(None)
    exchange, _ = converse(REQUEST, account, tries([Answer("x", (30, 10_000))]))
    assert exchange.overrun == 10_030 - MOST
    assert account.spent().tokens == 10_030


def test_the_cap_holds_between_attempts_and_a_kept_charge_is_on_record(tmp_path: Path) -> None:
    account = Account(tmp_path / NAME)
    with pytest.raises(BudgetSpent, match="was not sent"):
        converse(REQUEST, account, tries([LOST, GOOD], Cap(tokens=MOST + 50)))
    assert Account(tmp_path / NAME).spent().tokens == MOST


def test_a_request_that_is_never_sent_is_not_on_record(tmp_path: Path) -> None:
    account = Account(tmp_path / NAME)
    with pytest.raises(BudgetSpent):
        converse(REQUEST, account, tries([], Cap(tokens=MOST - 1)))
    assert not (tmp_path / NAME).exists()


def test_a_stop_in_an_attempt_keeps_the_whole_reservation() -> None:
    def stop(request: Request, without: frozenset[str], deadline: float) -> Answer | Failure:
        raise KeyboardInterrupt

    account = Account(None)
    with pytest.raises(KeyboardInterrupt):
        converse(REQUEST, account, Tries(stop, Cap(), 5, time.monotonic() + 5))
    assert account.spent().tokens == MOST


def test_refused_parameters_are_left_out_once_each_and_learnt() -> None:
    left_out = []
    answers = iter(
        [
            Failure("status 400", "no max_tokens", refused=frozenset({"max_tokens"})),
            Failure("status 400", "no temperature", refused=frozenset({"temperature"})),
            GOOD,
        ]
    )

    def ask(request: Request, without: frozenset[str], deadline: float) -> Answer | Failure:
        left_out.append(without)
        return next(answers)

    _, refused = converse(REQUEST, Account(None), Tries(ask, Cap(), 5, time.monotonic() + 5))
    assert left_out == [PLAIN, {"max_tokens"}, {"max_tokens", "temperature"}]
    assert refused == {"max_tokens", "temperature"}


def test_a_parameter_that_is_still_refused_is_the_end() -> None:
    again = Failure("status 400", "max_tokens too large", refused=frozenset({"max_tokens"}))
    with pytest.raises(ChatError, match="max_tokens too large"):
        converse(REQUEST, Account(None), tries([again, again, GOOD]))


def test_manners_are_of_one_model_at_one_endpoint() -> None:
    manners = Manners()
    manners.learn("http://a/v1", "m", frozenset({"temperature"}))
    assert manners.refused("http://a/v1", "m") == {"temperature"}
    assert manners.refused("http://a/v1", "n") == PLAIN
    assert manners.refused(None, "m") == PLAIN


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    closed = Failure("status 429", "slow down", again=True, after=3600.0)
    with pytest.raises(ChatError, match=r"the next attempt would be in 3600\.00 s"):
        converse(REQUEST, Account(None), tries([closed, GOOD], seconds=60))


def test_the_wait_that_the_server_asks_for_is_kept() -> None:
    closed = Failure("status 429", "slow down", again=True, after=0.05)
    began = time.monotonic()
    converse(REQUEST, Account(None), tries([closed, GOOD]))
    assert time.monotonic() - began >= 0.05


def test_waits_double_and_are_spread_by_the_key_alone() -> None:
    waits = [delay("a", failures, 120.0) for failures in range(1, 2000)]
    assert waits == [delay("a", failures, 120.0) for failures in range(1, 2000)]
    assert waits[0] != delay("b", 1, 120.0)
    for failures, wait in enumerate(waits[:6]):
        assert 0.5 <= wait / (0.6 * 2**failures) <= 1.5
    assert max(waits) <= 45.0


@pytest.mark.parametrize("seed", range(5))
def test_threads_together_never_pass_the_cap(seed: int) -> None:
    """Whatever is billed, reported or not, is within the cap and within what we count."""
    cap, account, lock = Cap(tokens=20 * MOST), Account(None), threading.Lock()
    drawn, billed, refused = random.Random(seed), [0], [0]

    def ask(request: Request, without: frozenset[str], deadline: float) -> Answer | Failure:
        with lock:
            kind = drawn.random()
            prompt, said = drawn.randint(1, request.prompt_bound), drawn.randint(0, 100)
            if kind > 0.2:
                billed[0] += prompt + said
        time.sleep(0.0005)
        if kind < 0.2:
            return BUSY
        if kind < 0.4:
            return LOST
        if kind < 0.5:
            return Answer("", (prompt, said))
        return Answer("yes", (prompt, said))

    def one(sample: int) -> None:
        deadline = time.monotonic() + 60
        try:
            converse(replace(REQUEST, sample=sample), account, Tries(ask, cap, 0.05, deadline))
        except BudgetSpent:
            with lock:
                refused[0] += 1
        except ChatError:
            pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(100)))
    assert cap.tokens is not None
    assert billed[0] <= account.spent().tokens <= cap.tokens
    assert refused[0] > 0
    assert account.spent().tokens > cap.tokens - MOST
