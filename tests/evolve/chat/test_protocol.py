from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from evolve.chat.protocol import Answer, Failure, answer, refused, seconds_of, settings
from evolve.chat.request import Message, Request

REQUEST = Request("m", (Message("user", "Why?"),), 0.5, 100, 0)


def body(message: object, usage: object = None) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


def test_a_reply_is_read() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    assert answer(body({"content": "Because."}, usage)) == Answer("Because.", (3, 5), 0, "stop")


def test_reasoning_that_only_the_total_counts_is_completion() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 100}
    found = answer(body({"content": "x"}, usage))
    assert isinstance(found, Answer)
    assert found.usage == (3, 97)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        [],
        {},
        {"prompt_tokens": 3},
        {"prompt_tokens": 3, "completion_tokens": -1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": "3", "completion_tokens": 1},
    ],
)
def test_a_usage_that_is_none_is_none(usage: object) -> None:
    found = answer(body({"content": "x"}, usage))
    assert isinstance(found, Answer)
    assert found.usage is None


def test_no_text_is_an_empty_answer_and_hidden_reasoning_is_counted() -> None:
    found = answer(body({"content": None, "reasoning_content": "hm, 日"}))
    assert found == Answer("", None, len("hm, 日".encode()), "stop")


def test_a_reply_has_no_lone_surrogates() -> None:
    found = answer(b'{"choices": [{"message": {"content": "a\\ud800b"}}]}')
    assert isinstance(found, Answer)
    assert found.text == "a?b"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"<html>busy</html>",
        b"[]",
        b"null",
        b"{}",
        b'{"choices": null}',
        b'{"choices": []}',
        b'{"choices": [null]}',
        b'{"choices": [{"message": null}]}',
        body({"content": ["text"]}),
        b"[" * 100_000,
    ],
)
def test_anything_else_is_malformed_and_may_be_billed(content: bytes) -> None:
    found = answer(content)
    assert isinstance(found, Failure)
    assert (found.kind, found.again, found.billed) == ("malformed", True, True)


def test_settings_leave_out_what_is_refused() -> None:
    assert settings(REQUEST, frozenset()) == {"max_tokens": 100, "temperature": 0.5}
    both = frozenset({"temperature", "max_tokens"})
    assert settings(REQUEST, both) == {"max_completion_tokens": 100}


def test_what_is_refused_is_read_from_the_parameter_else_from_the_text() -> None:
    told = "'max_tokens' is not supported, use 'max_completion_tokens'; temperature is fine"
    assert refused("max_tokens", told) == {"max_tokens"}
    assert refused(None, "temperature must be 1") == {"temperature"}
    assert refused(None, "max_completion_tokens is too large") == frozenset()
    assert refused("messages", "too long") == frozenset()


def test_retry_after_is_seconds_or_a_date() -> None:
    assert seconds_of("2.5") == 2.5
    assert seconds_of("-1") == 0.0
    later = seconds_of(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))
    assert later is not None
    assert 3500 < later <= 3600
    assert seconds_of("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert [seconds_of(text) for text in (None, "soon", "nan", "inf")] == [None] * 4
