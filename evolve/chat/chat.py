"""`Chat`: asks a language model at most once for the same thing, and keeps it on record.

Any OpenAI-compatible endpoint. Knows no prompts. The key is read from the environment when it is
needed, and is in no transcript, error, `repr` or pickle.
"""

from __future__ import annotations

import math
import os
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from evolve.chat.absence import Absences
from evolve.chat.account import Account, Cap, Charge
from evolve.chat.endpoint import endpoint
from evolve.chat.request import Message, Request, speakable
from evolve.chat.retry import Manners, Tries, converse
from evolve.chat.transcripts import NAME, Exchange
from evolve.errors import ChatDeclined, ChatError, ChatForbidden, ExperimentError

_LOCK = threading.Lock()
_ACCOUNTS: dict[object, Account] = {}  # by file, or by the chat itself if it has no folder
_MANNERS = Manners()
_ABSENCES = Absences()


@dataclass(frozen=True)
class Reply:
    """An answer. `key` finds its transcript.

    `estimated`: the endpoint reported no usage, and the tokens are upper bounds. `replayed`: it
    was on record, and nothing was sent for it now.
    """

    text: str
    key: str
    prompt_tokens: int
    completion_tokens: int
    estimated: bool
    replayed: bool


@dataclass(frozen=True)
class Chat:
    """A model behind an OpenAI-compatible endpoint.

    `base_url`: None is the default of the package openai. `key`: the *name* of the environment
    variable with the key. `max_tokens`: the limit of an answer. `timeout`: seconds of one `ask`
    in all, retries and waits included. `cap`: the most that is spent in one `folder`, over all
    runs there (a kill loses the charge of what was under way). `folder`: where
    `transcripts.jsonl` is written and looked up; None: in memory. `replay`: transcripts of
    another run, a file or its folder, that all answers are taken from; nothing is ever sent.
    """

    model: str
    base_url: str | None = None
    key: str = "OPENAI_API_KEY"
    max_tokens: int = 2048
    timeout: float = 120.0
    cap: Cap = field(default_factory=Cap)
    folder: Path | None = None
    replay: Path | None = None

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise ExperimentError("Chat has an empty model; give the endpoint's name of one.")
        if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", self.key):  # not shown: it may be the key itself
            raise ExperimentError(
                "Chat's key is not the name of an environment variable (capitals, digits, _); "
                "put the key into such a variable and give its name."
            )
        if self.max_tokens < 1:
            raise ExperimentError(f"Chat has max_tokens={self.max_tokens}; give 1 or more.")
        if not (math.isfinite(self.timeout) and self.timeout > 0):
            raise ExperimentError(f"Chat has timeout={self.timeout}; give seconds above 0.")
        if self.base_url is not None:
            _check_url(self.base_url)

    @classmethod
    def from_environment(cls) -> Chat | None:
        """What `EVOLVE_LLM_MODEL`, `_BASE_URL`, `_MAX_TOKENS` (the cap on tokens, of prompts and
        answers together) and `_REPLAY` say; None without a model."""
        model = os.environ.get("EVOLVE_LLM_MODEL", "").strip()
        if not model:
            return None
        replay = os.environ.get("EVOLVE_LLM_REPLAY", "").strip()
        return cls(
            model,
            base_url=os.environ.get("EVOLVE_LLM_BASE_URL", "").strip() or None,
            cap=Cap(tokens=_whole("EVOLVE_LLM_MAX_TOKENS")),
            replay=Path(replay) if replay else None,
        )

    def at(self, folder: Path) -> Chat:
        """This chat with its transcripts in `folder`."""
        return replace(self, folder=folder)

    def check(self) -> None:
        """Raise `ExperimentError` if it cannot ask, without sending anything."""
        if self.replay is None:
            endpoint(self.base_url, self.key)
        else:
            self._replayed()

    def spent(self) -> Charge:
        """Tokens and cost, in all, of this folder's exchanges."""
        return self._account().spent()

    def ask(
        self,
        messages: Sequence[Message],
        *,
        sample: int,
        temperature: float | None = None,
        max_tokens: int | None = None,
    ) -> Reply:
        """The model's answer, which is on record, durably, before it is returned.

        What is on record already is not asked again. `sample` tells apart several answers to the
        same `messages`. Safe for threads; those that ask the same share one request.

        Raises `ChatError` if there is no answer in `timeout` seconds, and at once while a model
        that did not answer is left alone (`ChatDeclined` if asking again is of no use);
        `ChatForbidden` for a key, model or quota that is refused; `BudgetSpent` if the next
        request could pass the cap, `ExperimentError` without a key or the package openai.
        """
        request = self._request(messages, sample, temperature, max_tokens)
        account = self._account()
        found = account.recall(request.key)
        if found is not None and found.reply is not None:
            return _reply(found, replayed=True)
        if self.replay is not None:
            return self._from_replay(request, account)
        place = endpoint(self.base_url, self.key)
        import openai  # noqa: F401  # a second of work, once: not on the request's time

        deadline = time.monotonic() + self.timeout

        def send() -> Exchange:
            known = _MANNERS.refused(self.base_url, self.model)
            tries = Tries(place.attempt, self.cap, self.timeout, deadline, known)
            exchange, refused = converse(request, account, tries)
            if refused != known:
                _MANNERS.learn(self.base_url, self.model, refused)
            return exchange

        _ABSENCES.check(self.base_url, self.model)
        try:
            exchange = account.once(request.key, deadline, send)
        except (ChatDeclined, ChatForbidden):
            _ABSENCES.answered(self.base_url, self.model)
            raise
        except ChatError:
            _ABSENCES.failed(self.base_url, self.model, self.timeout)
            raise
        _ABSENCES.answered(self.base_url, self.model)
        return _reply(exchange, replayed=exchange.replayed)

    def _request(
        self,
        messages: Sequence[Message],
        sample: int,
        temperature: float | None,
        max_tokens: int | None,
    ) -> Request:
        limit = self.max_tokens if max_tokens is None else max_tokens
        if not messages:
            raise ExperimentError("Chat.ask was given no messages; give one or more.")
        if limit < 1:
            raise ExperimentError(f"Chat.ask was given max_tokens={limit}; give 1 or more.")
        return Request(
            model=self.model,
            messages=tuple(Message(each.role, speakable(each.content)) for each in messages),
            temperature=None if temperature is None else float(temperature),
            max_tokens=limit,
            sample=sample,
        )

    def _account(self) -> Account:
        """The account of the folder: one for all chats and threads of this process."""
        if self.folder is None:
            return _account(self, None)
        file = self.folder.absolute() / NAME
        return _account(file, file)

    def _replayed(self) -> Account:
        """The exchanges to replay."""
        assert self.replay is not None
        place = self.replay.absolute()
        file = place / NAME if place.is_dir() else place
        if not file.is_file():
            raise ExperimentError(
                f"There are no transcripts to replay at {self.replay}; give the file {NAME} of a "
                "run, or its folder."
            )
        return _account(file, file)

    def _from_replay(self, request: Request, account: Account) -> Reply:
        """The recorded answer, copied to this chat's own record at no charge."""
        found = self._replayed().recall(request.key)
        if found is None or found.reply is None:
            how = "" if found is None else f" It failed then: {found.error}"
            raise ChatError(
                f"The transcripts at {self.replay} have no answer to this request (key "
                f"{request.key[:16]}, sample {request.sample}), and a replay sends nothing."
                f"{how} Replay with the same model, prompts, seed and limits, or ask an endpoint."
            )
        copy = replace(
            found, request=request.as_json(), charged=0, cost=0.0, attempts=(), replayed=True
        )
        deadline = time.monotonic() + self.timeout
        exchange = account.once(request.key, deadline, lambda: _recorded(account, copy))
        return _reply(exchange, replayed=True)


def _recorded(account: Account, exchange: Exchange) -> Exchange:
    account.record(exchange, ())
    return exchange


def _account(name: object, file: Path | None) -> Account:
    with _LOCK:
        found = _ACCOUNTS.get(name)
        if found is None:
            found = _ACCOUNTS[name] = Account(file)
        return found


def _reply(exchange: Exchange, *, replayed: bool) -> Reply:
    assert exchange.reply is not None, "failures are raised"
    return Reply(
        text=exchange.reply,
        key=exchange.key,
        prompt_tokens=exchange.prompt_tokens,
        completion_tokens=exchange.completion_tokens,
        estimated=exchange.estimated,
        replayed=replayed,
    )


def _check_url(base_url: str) -> None:
    try:
        parts = urlsplit(base_url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise ExperimentError(
            f"Chat has base_url={base_url!r}; give a URL such as http://localhost:8000/v1."
        )
    if "@" in parts.netloc or parts.query:  # not shown: there may be a key in it
        raise ExperimentError(
            "Chat's base_url has a user or a query in it; give the plain URL, and put the key "
            "into an environment variable."
        )


def _whole(name: str) -> int | None:
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    if not text.isdecimal():
        raise ExperimentError(f"{name} is {text!r}; give a whole number of tokens.")
    return int(text)
