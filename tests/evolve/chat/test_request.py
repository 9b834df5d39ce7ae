from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from evolve.chat.request import Message, Request, speakable
from evolve.errors import ExperimentError

BASE = Request("m", (Message("system", "Be short."), Message("user", "Why?")), 0.5, 100, 0)


def test_the_key_is_of_the_content_alone_and_for_all_time() -> None:
    assert BASE.key == replace(BASE).key
    text = (
        '{"max_tokens":100,"messages":[{"content":"Be short.","role":"system"},'
        '{"content":"Why?","role":"user"}],"model":"m","sample":0,"temperature":0.5}'
    )
    assert BASE.key == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, model="n"),
        replace(BASE, messages=BASE.messages[1:]),
        replace(BASE, messages=(Message("user", "Be short."), Message("user", "Why?"))),
        replace(BASE, temperature=None),
        replace(BASE, max_tokens=101),
        replace(BASE, sample=1),
    ],
)
def test_any_difference_is_another_key(other: Request) -> None:
    assert other.key != BASE.key


def test_the_bound_counts_bytes_and_leaves_room_for_a_template() -> None:
    longer = replace(BASE, messages=(*BASE.messages, Message("user", "日本")))
    assert BASE.prompt_bound >= len("Be short.Why?") + 100
    assert longer.prompt_bound - BASE.prompt_bound >= len("日本".encode())


def test_a_message_has_a_known_role() -> None:
    with pytest.raises(ExperimentError, match="role='tool'; give one of system"):
        Message("tool", "x")


def test_lone_surrogates_are_replaced_and_nothing_else_is() -> None:
    assert speakable("a\ud800b") == "a?b"
    assert speakable("日本\n😀") == "日本\n😀"
