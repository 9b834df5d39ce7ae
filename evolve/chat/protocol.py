"""The protocol of chat completions: what is sent, and what came back. Opens no connection.

Servers differ in what they leave out, so nothing of a reply is taken for granted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from evolve.chat.request import Request, speakable

_OPTIONAL = ("temperature", "max_tokens")  # what some models refuse


@dataclass(frozen=True)
class Answer:
    """What the model said. `usage`: prompt and completion tokens as reported, if they were.

    `hidden_bytes`: of reasoning that came beside the text.
    """

    text: str
    usage: tuple[int, int] | None
    hidden_bytes: int = 0
    finish: str = ""


@dataclass(frozen=True)
class Failure:
    """Why there is no answer.

    `again`: another attempt may help. `billed`: it may have been billed. `after`: seconds that
    the server asks to wait. `refused`: parameters that a status 400 was about.
    """

    kind: str
    detail: str
    again: bool = False
    billed: bool = False
    after: float | None = None
    refused: frozenset[str] = frozenset()


def settings(request: Request, refused: frozenset[str]) -> Mapping[str, object]:
    """The optional parameters; reasoning models have no temperature and another limit."""
    limit = "max_completion_tokens" if "max_tokens" in refused else "max_tokens"
    chosen: dict[str, object] = {limit: request.max_tokens}
    if request.temperature is not None and "temperature" not in refused:
        chosen["temperature"] = request.temperature
    return chosen


def answer(content: bytes) -> Answer | Failure:
    """The first choice's text, of a reply's body; a `Failure` if it is not as in the protocol."""
    try:
        body = json.loads(content)
        choice = body["choices"][0]
        message = choice["message"]
        text = message.get("content") or ""
        hidden = message.get("reasoning_content") or message.get("reasoning") or ""
        if not isinstance(text, str):
            raise TypeError(f"content is a {type(text).__name__}")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        start = content[:200].decode("utf-8", "replace")
        detail = f"{type(error).__name__}: {error}, in a body that begins {start!r}"
        return Failure("malformed", detail, again=True, billed=True)
    return Answer(
        text=speakable(text),
        usage=_usage(body.get("usage")),
        hidden_bytes=len(speakable(hidden).encode()) if isinstance(hidden, str) else 0,
        finish=str(choice.get("finish_reason")),
    )


def refused(param: str | None, message: str) -> frozenset[str]:
    """Which optional parameters a status 400 is about: as it says, or else as it mentions."""
    if param in _OPTIONAL:
        return frozenset({param})
    return frozenset(name for name in _OPTIONAL if name in message)


def seconds_of(retry_after: str | None) -> float | None:
    """A Retry-After header, seconds or a date, as seconds from now; None if it is neither."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            when = parsedate_to_datetime(retry_after)
        except ValueError:
            return None
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        seconds = (when - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _usage(usage: object) -> tuple[int, int] | None:
    """Prompt and completion tokens, if both are reported as counts.

    Some servers count reasoning in the total alone; then the rest of the total is completion.
    """
    if not isinstance(usage, dict):
        return None
    prompt, said = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if prompt is None or said is None:
        return None
    total = _count(usage.get("total_tokens"))
    return prompt, said if total is None else max(said, total - prompt)


def _count(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None
