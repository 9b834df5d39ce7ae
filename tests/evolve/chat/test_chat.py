from __future__ import annotations

import json
import pickle
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from evolve.chat import Cap, Charge, Chat, Message, Reply
from evolve.chat.transcripts import NAME
from evolve.errors import BudgetSpent, ChatError, ChatForbidden, ExperimentError
from tests.evolve.chat.server import Asked, Behaviour, FakeServer, HangUp, Raw, Refuse, Say, serve

WHY = (Message("system", "Be short."), Message("user", "Why?"))
SECRET = "sk-very-secret"


@pytest.fixture(scope="module")
def echo() -> Iterator[FakeServer]:
    """A server that repeats the last message."""
    with serve(lambda number, asked: Say(asked.body["messages"][-1]["content"])) as server:
        yield server


def chat(server: FakeServer, folder: Path | None = None, **settings: object) -> Chat:
    made = Chat("fake", base_url=server.base_url, timeout=20, folder=folder)
    return replace(made, **settings)  # type: ignore[arg-type]


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / NAME).read_text().splitlines()]


def test_a_good_answer_is_on_record(echo: FakeServer, tmp_path: Path) -> None:
    ours = chat(echo, tmp_path / "run")
    reply = ours.ask(WHY, sample=3, temperature=1)
    assert reply == Reply("Why?", reply.key, 4, 1, False, False)
    (line,) = lines(tmp_path / "run")
    assert line["key"] == reply.key
    assert line["reply"] == "Why?"
    assert line["usage"] == {"prompt": 4, "completion": 1}
    assert line["request"] == {
        "model": "fake",
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "Why?"},
        ],
        "temperature": 1.0,
        "max_tokens": 2048,
        "sample": 3,
    }
    assert ours.spent() == Charge(5)


def test_what_is_on_record_is_not_asked_again(tmp_path: Path) -> None:
    with serve("yes") as server:
        ours = chat(server, tmp_path)
        first = ours.ask(WHY, sample=0)
        assert ours.ask(WHY, sample=0) == replace(first, replayed=True)
        assert server.count == 1
        ours.ask(WHY, sample=1)
        ours.ask(WHY, sample=0, temperature=0.5)
        ours.ask(WHY, sample=0, max_tokens=5)
        assert server.count == 4


def test_another_process_resumes_from_the_record(tmp_path: Path) -> None:
    """Even if a kill tore the last line, and with what was spent counted on."""
    with serve("yes") as server:
        ours = chat(server, tmp_path)
        ours.ask(WHY, sample=0)
        with (tmp_path / NAME).open("ab") as file:
            file.write(b'{"key": "tor')
        script = (
            "import pickle, sys\n"
            "from evolve.chat import Message\n"
            "chat, messages = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
            "for sample in (0, 1):\n"
            "    reply = chat.ask(messages, sample=sample)\n"
            "    print(reply.text, reply.replayed, chat.spent().tokens)\n"
        )
        sent = pickle.dumps((ours, WHY)).hex()
        done = subprocess.run(
            [sys.executable, "-c", script, sent], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == ["yes", "True", "5", "yes", "False", "10"]
        assert server.count == 2
        assert len(lines(tmp_path)) == 2
        assert ours.ask(WHY, sample=1).replayed
        assert ours.spent() == Charge(10)


def test_a_replay_takes_all_from_the_record_and_sends_nothing(tmp_path: Path) -> None:
    with serve("yes") as server:
        first = chat(server, tmp_path / "a").ask(WHY, sample=0)
        for replay in (tmp_path / "a", tmp_path / "a" / NAME):
            again = Chat("fake", base_url=server.base_url, folder=tmp_path / "b", replay=replay)
            again.check()
            assert again.ask(WHY, sample=0) == replace(first, replayed=True)
            with pytest.raises(ChatError, match=r"no answer to this request .* sample 7"):
                again.ask(WHY, sample=7)
        assert server.count == 1
    (line,) = lines(tmp_path / "b")  # a run that was replayed can be replayed
    assert (line["replayed"], line["charged"], line["reply"]) == (True, 0, "yes")
    with pytest.raises(ExperimentError, match="no transcripts to replay"):
        Chat("fake", replay=tmp_path / "none").check()


def test_a_replay_fails_where_the_record_failed(tmp_path: Path) -> None:
    with serve(lambda number, asked: Refuse(404, "no such model")) as server:
        with pytest.raises(ChatForbidden, match="no such model"):
            chat(server, tmp_path).ask(WHY, sample=0)
        with pytest.raises(ChatError, match=r"It failed then: .*no such model"):
            Chat("fake", replay=tmp_path).ask(WHY, sample=0)
        assert server.count == 1


def test_bad_luck_is_tried_again_in_one_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evolve.chat.retry.delay", lambda key, failures, seconds: 0.0)
    bad: list[Behaviour] = [
        Refuse(429, retry_after="0.01"),
        Refuse(503),
        HangUp(30),
        Raw(b"{}"),
        Say(""),
    ]
    with serve(lambda number, asked: bad[number] if number < len(bad) else Say("yes")) as server:
        assert chat(server, tmp_path).ask(WHY, sample=0).text == "yes"
    kinds = [each[0] for each in lines(tmp_path)[0]["attempts"]]  # type: ignore[attr-defined]
    assert kinds == ["status 429", "status 503", "disconnect", "malformed", "empty"]


def test_a_reasoning_model_is_answered_once_and_remembered(tmp_path: Path) -> None:
    def script(number: int, asked: Asked) -> Behaviour:
        for name in ("max_tokens", "temperature"):
            if name in asked.body:
                return Refuse(400, f"Unsupported parameter: {name}", param=name)
        return Say("yes")

    with serve(script) as server:
        ours = chat(server, tmp_path, model="thinker")
        ours.ask(WHY, sample=0, temperature=0.5)
        assert server.count == 3
        ours.ask(WHY, sample=1, temperature=0.5)
        assert server.count == 4
        assert server.asked[-1].body["max_completion_tokens"] == 2048
        other = chat(server, model="other", max_tokens=7)
        other.ask(WHY, sample=1)
        assert [each.limit for each in server.asked[4:]] == [7, 7]


def test_equal_questions_under_way_are_sent_once(tmp_path: Path) -> None:
    def slow(number: int, asked: Asked) -> Behaviour:
        time.sleep(0.1)
        return Say("yes")

    with serve(slow) as server, ThreadPoolExecutor(6) as pool:
        ours = chat(server, tmp_path)
        asking = [pool.submit(ours.ask, WHY, sample=0) for _ in range(6)]
        assert {each.result().text for each in asking} == {"yes"}
        assert server.count == 1
        assert len(lines(tmp_path)) == 1


def test_the_cap_holds_for_many_threads_and_over_a_resume(tmp_path: Path) -> None:
    """With the real protocol: what the server reports in all stays within the cap."""
    drawn = random.Random(0)
    asked_bound = len("Be short.Why?") + 2 * 16 + 128  # the prompt's bytes, and a template's

    def script(number: int, asked: Asked) -> Behaviour:
        usage = (drawn.randint(1, asked_bound), drawn.randint(0, asked.limit))
        return Say("yes", usage, reports_usage=drawn.random() < 0.7)

    with serve(script) as server:
        ours = chat(server, tmp_path, max_tokens=100, cap=Cap(tokens=3000))

        def one(sample: int) -> int:
            try:
                ours.ask(WHY, sample=sample)
            except BudgetSpent:
                return 1
            return 0

        with ThreadPoolExecutor(4) as pool:
            refused = sum(pool.map(one, range(40)))
        assert refused > 0
        assert server.reported <= ours.spent().tokens <= 3000
        count = server.count
        moved = (tmp_path / NAME).rename(tmp_path / "moved.jsonl")
        (tmp_path / "again").mkdir()
        moved.rename(tmp_path / "again" / NAME)
        with pytest.raises(BudgetSpent, match="of the cap's 3,000 tokens are spent"):
            ours.at(tmp_path / "again").ask(WHY, sample=99)
        assert server.count == count


def test_texts_that_no_utf8_can_carry_do_no_harm(echo: FakeServer, tmp_path: Path) -> None:
    said = "\ud800 \x00 日本 \u2028 \r\n end"
    reply = chat(echo, tmp_path).ask([Message("user", said)], sample=0)
    assert reply.text == said.replace("\ud800", "?")
    assert len(lines(tmp_path)) == 1


def test_the_key_leaks_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("A_KEY", SECRET)
    with serve(lambda number, asked: Refuse(401, f"bad key {asked.authorization}")) as server:
        ours = chat(server, tmp_path, key="A_KEY")
        with pytest.raises(ChatForbidden, match=r"bad key Bearer \*\*\*") as caught:
            ours.ask(WHY, sample=0)
    assert caught.value.__context__ is None, "openai's own error has the key in it"
    for shown in (str(caught.value), repr(ours), (tmp_path / NAME).read_text()):
        assert SECRET not in shown
    assert SECRET.encode() not in pickle.dumps(ours)
    assert pickle.loads(pickle.dumps(ours)) == ours


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"model": " "}, "empty model"),
        ({"key": SECRET}, "not the name of an environment variable"),
        ({"max_tokens": 0}, "max_tokens=0"),
        ({"timeout": 0.0}, "timeout=0"),
        ({"timeout": float("inf")}, "timeout=inf"),
        ({"base_url": "localhost:8000"}, "give a URL such as"),
        ({"base_url": f"http://me:{SECRET}@far.example/v1"}, "user or a query"),
        ({"base_url": f"http://far.example/v1?key={SECRET}"}, "user or a query"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], told: str) -> None:
    with pytest.raises(ExperimentError, match=told) as caught:
        replace(Chat("fake"), **settings)  # type: ignore[arg-type]
    assert SECRET not in str(caught.value)


def test_bad_questions_are_refused(echo: FakeServer) -> None:
    with pytest.raises(ExperimentError, match="no messages"):
        chat(echo).ask([], sample=0)
    with pytest.raises(ExperimentError, match="max_tokens=0"):
        chat(echo).ask(WHY, sample=0, max_tokens=0)


def test_a_chat_that_cannot_ask_says_so_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    with pytest.raises(ExperimentError, match="A_KEY"):
        Chat("fake", key="A_KEY").check()
    Chat("fake", base_url="http://localhost:1/v1", key="A_KEY").check()


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODEL", "BASE_URL", "MAX_TOKENS", "REPLAY"):
        monkeypatch.delenv(f"EVOLVE_LLM_{name}", raising=False)
    assert Chat.from_environment() is None
    monkeypatch.setenv("EVOLVE_LLM_MODEL", "fake")
    assert Chat.from_environment() == Chat("fake")
    monkeypatch.setenv("EVOLVE_LLM_BASE_URL", "http://localhost:8000/v1")
    monkeypatch.setenv("EVOLVE_LLM_MAX_TOKENS", "5000")
    monkeypatch.setenv("EVOLVE_LLM_REPLAY", "old/run")
    assert Chat.from_environment() == Chat(
        "fake", "http://localhost:8000/v1", cap=Cap(tokens=5000), replay=Path("old/run")
    )
    monkeypatch.setenv("EVOLVE_LLM_MAX_TOKENS", "many")
    with pytest.raises(ExperimentError, match="EVOLVE_LLM_MAX_TOKENS is 'many'"):
        Chat.from_environment()


def test_importing_it_does_not_import_the_client() -> None:
    script = "import sys, evolve.chat; print('openai' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_what_is_on_record_needs_neither_key_nor_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve("yes") as server:
        first = chat(server, tmp_path).ask(WHY, sample=0)
    monkeypatch.delenv("GONE", raising=False)
    gone = Chat("fake", base_url="https://example.org/v1", key="GONE", folder=tmp_path)
    assert gone.ask(WHY, sample=0) == replace(first, replayed=True)
    with pytest.raises(ExperimentError, match="GONE"):
        gone.ask(WHY, sample=1)
