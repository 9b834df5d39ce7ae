"""Language models and isolation reach the experiment's file, and a resume has them again."""

from __future__ import annotations

import os

import pytest

from evolve.engine.surroundings import ISOLATION, MAX_TOKENS, MODEL, NAMES, surround, surroundings


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "")  # undone afterwards, whatever is set meanwhile


def test_what_is_asked_for_is_set_and_told() -> None:
    surround({MODEL: "qwen", MAX_TOKENS: 5_000})
    assert os.environ[MODEL] == "qwen"
    assert surroundings() == {MODEL: "qwen", MAX_TOKENS: "5000"}


def test_a_resume_has_what_the_run_had_unless_told_otherwise() -> None:
    then = {MODEL: "qwen", MAX_TOKENS: "5000", "PATH": "/elsewhere"}
    path = os.environ["PATH"]
    surround({MAX_TOKENS: 9_000}, then)
    assert surroundings() == {MODEL: "qwen", MAX_TOKENS: "9000"}
    assert os.environ["PATH"] == path


def test_the_run_is_stronger_than_the_environment() -> None:
    os.environ[MODEL] = "llama"
    os.environ[ISOLATION] = "plain"
    surround({}, {ISOLATION: "full"})
    assert surroundings() == {ISOLATION: "full"}


def test_a_new_run_takes_the_environment() -> None:
    os.environ[MODEL] = "llama"
    surround({}, None)
    assert surroundings() == {MODEL: "llama"}
