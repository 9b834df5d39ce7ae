"""What is asked of a language model, and the name it is recorded under. Sends nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from evolve.errors import ExperimentError

_ROLES = ("system", "user", "assistant")
_A_MESSAGE = 16  # tokens that a chat template may put around a message; 4 to 8 are usual
_A_REQUEST = 128  # tokens that it may put around all, such as a default system prompt


@dataclass(frozen=True)
class Message:
    """One turn. `role` is `system`, `user` or `assistant`."""

    role: str
    content: str

    def __post_init__(self) -> None:
        if self.role not in _ROLES:
            raise ExperimentError(
                f"Message has role={self.role!r}; give one of {', '.join(_ROLES)}."
            )


@dataclass(frozen=True)
class Request:
    """A request; `sample` tells apart several askings of the same thing, and is not sent."""

    model: str
    messages: tuple[Message, ...]
    temperature: float | None
    max_tokens: int
    sample: int

    @property
    def key(self) -> str:
        """sha256 of the content: equal for equal requests, on every machine."""
        text = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    @property
    def prompt_bound(self) -> int:
        """At least as many tokens as the prompt has: one a byte, and room for a template."""
        said = sum(len(each.content.encode("utf-8")) for each in self.messages)
        return said + _A_MESSAGE * len(self.messages) + _A_REQUEST

    def as_json(self) -> Mapping[str, object]:
        return {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in self.messages],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "sample": self.sample,
        }


def speakable(text: str) -> str:
    """`text` without lone surrogates, which no UTF-8 can carry: each becomes a `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")
