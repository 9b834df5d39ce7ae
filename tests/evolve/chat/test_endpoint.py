from __future__ import annotations

import socket
import sys
import threading
import time

import pytest

from evolve.chat.endpoint import Endpoint, endpoint
from evolve.chat.protocol import Answer, Failure
from evolve.chat.request import Message, Request
from evolve.errors import ExperimentError
from tests.evolve.chat.server import (
    Behaviour,
    Drip,
    FakeServer,
    HangUp,
    Raw,
    Refuse,
    Say,
    Stall,
    serve,
)

REQUEST = Request("fake", (Message("user", "Why?"),), 0.5, 100, 0)
PLAIN: frozenset[str] = frozenset()
SECRET = "sk-very-secret"


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """The client, whose import takes about a second: not on the first attempt's time."""
    import openai  # noqa: F401


def attempt(server: FakeServer, seconds: float = 20.0) -> Answer | Failure:
    place = Endpoint(server.base_url, SECRET)
    return place.attempt(REQUEST, PLAIN, time.monotonic() + seconds)


def failed(behaviour: Behaviour, seconds: float = 20.0) -> Failure:
    """How one attempt at a server that does `behaviour` fails."""
    with serve(lambda number, asked: behaviour) as server:
        found = attempt(server, seconds)
        assert server.count == 1, "openai's own retries are off"
    assert isinstance(found, Failure)
    return found


def test_what_is_sent_is_the_request_and_nothing_else() -> None:
    with serve("Because.") as server:
        assert attempt(server) == Answer("Because.", (1, 2), 0, "stop")
    assert server.asked[0].authorization == f"Bearer {SECRET}"
    assert server.asked[0].body == {
        "model": "fake",
        "messages": [{"role": "user", "content": "Why?"}],
        "temperature": 0.5,
        "max_tokens": 100,
    }


def test_a_server_may_report_no_usage() -> None:
    with serve(lambda number, asked: Say("yes", reports_usage=False)) as server:
        assert attempt(server) == Answer("yes", None, 0, "stop")


@pytest.mark.parametrize("behaviour", [Stall(), Drip(pause=0.05)], ids=["stall", "drip"])
def test_no_server_holds_an_attempt_beyond_its_deadline(behaviour: Behaviour) -> None:
    """In their own time these end otherwise: in a disconnect, and in an answer."""
    found = failed(behaviour, seconds=1.0)
    assert (found.kind, found.billed) == ("timeout", True)


def test_headers_that_drip_are_not_waited_for() -> None:
    """The transport reads them all before we see any; only leaving its thread bounds that."""
    found = failed(Drip(pause=0.05, headers=True), seconds=1.0)
    assert found == Failure(
        "timeout", "no whole answer when the time was up", again=True, billed=True
    )


def test_the_thread_of_a_dripping_reply_ends_at_its_next_byte() -> None:
    with serve(lambda number, asked: Drip("x" * 10_000)) as server:
        before = set(threading.enumerate())
        assert isinstance(attempt(server, 1.0), Failure)
        for left in set(threading.enumerate()) - before:
            if left.name == "evolve-chat":
                left.join(timeout=20)
                assert not left.is_alive()


@pytest.mark.parametrize("sent", [0, 20, 90])
def test_a_lost_connection_may_have_been_billed(sent: int) -> None:
    found = failed(HangUp(sent))
    assert (found.kind, found.again, found.billed) == ("disconnect", True, True)


def test_a_connection_that_never_was_is_not_billed() -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else takes the port
        taken.bind(("127.0.0.1", 0))
        place = Endpoint(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", SECRET)
        found = place.attempt(REQUEST, PLAIN, time.monotonic() + 20)
    assert isinstance(found, Failure)
    assert (found.kind, found.again, found.billed) == ("no connection", True, False)


def test_no_time_left_sends_nothing() -> None:
    with serve("late") as server:
        found = attempt(server, seconds=-1.0)
        assert isinstance(found, Failure)
        assert (found.kind, found.billed, server.count) == ("timeout", False, 0)


@pytest.mark.parametrize(
    ("status", "again", "billed"),
    [
        (400, False, False),
        (401, False, False),
        (404, False, False),
        (408, True, True),
        (429, True, False),
        (500, True, False),
        (502, True, True),
        (503, True, False),
        (504, True, True),
    ],
)
def test_statuses(status: int, again: bool, billed: bool) -> None:
    found = failed(Refuse(status, retry_after="7"))
    assert found.kind == f"status {status}"
    assert (found.again, found.billed) == (again, billed)
    assert found.after == (7.0 if again else None)


def test_a_spent_quota_is_not_waited_for() -> None:
    assert not failed(Refuse(429, code="insufficient_quota")).again


def test_a_parameter_that_is_refused_is_named() -> None:
    refusal = Refuse(
        400, "Unsupported parameter", code="unsupported_parameter", param="max_tokens"
    )
    assert failed(refusal).refused == {"max_tokens"}


@pytest.mark.parametrize(
    "behaviour",
    [Raw(b"<html>busy</html>", "text/html"), Raw(b'{"choices": [', "application/json")],
    ids=["html", "half"],
)
def test_a_reply_that_is_not_the_protocol(behaviour: Raw) -> None:
    assert failed(behaviour).kind == "malformed"


def test_a_reply_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evolve.chat.endpoint._MOST_BYTES", 1000)
    found = failed(Say("x" * 2000))
    assert (found.kind, found.again, found.billed) == ("malformed", False, True)


def test_the_key_is_in_no_failure_and_no_repr() -> None:
    for behaviour in (Refuse(401, f"bad key {SECRET}"), Raw(f"<{SECRET}>".encode())):
        found = failed(behaviour)
        assert "***" in found.detail
        assert SECRET not in repr(found)
    assert SECRET not in repr(Endpoint(None, SECRET))


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", f" {SECRET}\n")
    assert endpoint("http://far.example/v1", "A_KEY") == Endpoint("http://far.example/v1", SECRET)
    monkeypatch.setenv("A_KEY", "sk-\u2013dash")
    with pytest.raises(ExperimentError, match="variable A_KEY has signs that no key has"):
        endpoint(None, "A_KEY")


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000/v1",
        "http://127.0.0.1:1/v1",
        "http://[::1]/v1",
        "http://10.0.0.7/v1",
        "http://vllm/v1",
    ],
)
def test_a_near_endpoint_takes_no_key(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    assert endpoint(url, "A_KEY").secret == "none"


@pytest.mark.parametrize("url", [None, "https://far.example/v1", "https://8.8.8.8/v1"])
def test_a_far_endpoint_takes_a_key(monkeypatch: pytest.MonkeyPatch, url: str | None) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    with pytest.raises(ExperimentError, match="variable A_KEY, which should hold the key"):
        endpoint(url, "A_KEY")


def test_without_the_package_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ExperimentError, match=r"pip install 'evolve\[llm\]'"):
        endpoint("http://localhost/v1", "A_KEY")
