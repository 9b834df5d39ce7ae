"""One attempt at an OpenAI-compatible endpoint, with the `openai` package. Knows no retries.

Whatever happens becomes an `Answer` or a `Failure` by the deadline: the attempt runs in a thread
of its own, which is left behind if it is not done; it ends at the next byte of the reply. A time
limit of the transport alone would not do: it is for each read, and a server that sends a byte
now and then never meets it.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from evolve.chat.protocol import Answer, Failure, answer, refused, seconds_of, settings
from evolve.chat.request import Request, speakable
from evolve.errors import ExperimentError

if TYPE_CHECKING:
    import openai

_CONNECT = 10.0  # seconds to connect in; a longer wait is better spent on another try
_MOST_BYTES = 16 * 2**20  # of a reply
_UNSENT = ("ConnectError", "ConnectTimeout", "PoolTimeout")  # of httpx or httpx2, by the version
_UNBILLED = (500, 503, 529)  # the server itself says that it made no answer; 502, 504: a proxy


@dataclass(frozen=True)
class Endpoint:
    """Where to ask. `secret` is shown nowhere."""

    base_url: str | None
    secret: str = field(repr=False)

    def attempt(
        self, request: Request, without: frozenset[str], deadline: float
    ) -> Failure | Answer:
        """Send `request` once, leaving out parameters `without`; back by `deadline`, monotonic."""
        left = deadline - time.monotonic()
        if left <= 0:
            return Failure("timeout", "no time was left to send it", again=True)
        box: Future[Failure | Answer] = Future()

        def ask() -> None:
            try:
                box.set_result(self._ask(request, without, deadline))
            except BaseException as error:
                box.set_exception(error)

        threading.Thread(target=ask, name="evolve-chat", daemon=True).start()
        try:
            return box.result(timeout=left)
        except TimeoutError:
            detail = "no whole answer when the time was up"
            return Failure("timeout", detail, again=True, billed=True)

    def _ask(self, request: Request, without: frozenset[str], deadline: float) -> Failure | Answer:
        import openai

        left = deadline - time.monotonic()
        if left <= 0:  # the thread or the import came late, and nobody waits any more
            return Failure("timeout", "no time was left to send it", again=True)
        try:
            with (
                openai.OpenAI(
                    api_key=self.secret,
                    base_url=self.base_url,
                    max_retries=0,
                    timeout=openai.Timeout(left, connect=min(_CONNECT, left)),
                ) as client,
                client.chat.completions.with_streaming_response.create(
                    model=request.model,
                    messages=cast(Any, request.as_json()["messages"]),
                    extra_body=settings(request, without),
                ) as response,
            ):
                content = _read(response.iter_bytes(), deadline)
        except openai.APIStatusError as error:
            return self._declined(error, request.model)
        except Exception as error:  # openai's, or of the transport below it, whose name varies
            return self._lost(error)
        if content is None:
            return Failure("malformed", f"the reply has over {_MOST_BYTES:,} bytes", billed=True)
        found = answer(content)
        if isinstance(found, Failure):  # it quotes the reply
            return replace(found, detail=self._clean(found.detail))
        return found

    def _declined(self, error: openai.APIStatusError, model: str) -> Failure:
        """A status of 400 or more."""
        status = error.status_code
        detail = self._clean(error.message)
        if status in (400, 422):
            return Failure(f"status {status}", detail, refused=refused(error.param, error.message))
        if status in (401, 403):
            return Failure(f"status {status}", f"{detail}; check the key in the environment")
        if status == 404:
            detail += f"; check the model's name, {model!r}, and that base_url ends as in /v1"
            return Failure("status 404", detail)
        again = status in (408, 409, 425, 429) or status >= 500
        if error.code == "insufficient_quota":  # a 429 that waiting does not help
            return Failure("quota", detail)
        billed = status == 408 or (status >= 500 and status not in _UNBILLED)
        after = seconds_of(error.response.headers.get("retry-after"))
        return Failure(f"status {status}", detail, again=again, billed=billed, after=after)

    def _lost(self, error: Exception) -> Failure:
        """No reply, or not all of it."""
        cause = error.__cause__ or error
        name = type(cause).__name__
        detail = self._clean(f"{name}: {cause}")
        if name in _UNSENT:
            kind = "no connection" if name == "ConnectError" else "timeout"
            return Failure(kind, detail, again=True)
        kind = "timeout" if "Timeout" in name else "disconnect"
        return Failure(kind, detail, again=True, billed=True)

    def _clean(self, text: str) -> str:
        """Short, in one line, and without the key, which some servers repeat."""
        shown = text.replace(self.secret, "***") if self.secret != NO_KEY else text
        return " ".join(speakable(shown).split())[:500]


NO_KEY = "none"


def endpoint(base_url: str | None, key: str) -> Endpoint:
    """The endpoint, with the key that the environment variable `key` holds.

    Raises `ExperimentError` without the `openai` package, or without a key where one is needed.
    """
    if importlib.util.find_spec("openai") is None:
        raise ExperimentError(
            "Asking a language model takes the package openai, which is not installed here; "
            "install it with: pip install 'evolve[llm]'"
        )
    secret = os.environ.get(key, "").strip()
    if secret and not (secret.isascii() and secret.isprintable()):
        raise ExperimentError(
            f"The key in the environment variable {key} has signs that no key has; set it anew."
        )
    if not secret and not (base_url is not None and _is_near(base_url)):
        raise ExperimentError(
            f"The environment variable {key}, which should hold the key for "
            f"{base_url or 'the default endpoint of openai'}, is not set; set it, or give "
            "key=... the name of the variable that holds it."
        )
    return Endpoint(base_url, secret or NO_KEY)


def _is_near(base_url: str) -> bool:
    """Whether the host is this machine or in its private network, where keys are rare."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal"))


def _read(chunks: Iterable[bytes], deadline: float) -> bytes | None:
    """All bytes; None if they are too many. Stops at `deadline`, for a server that drips."""
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > _MOST_BYTES:
            return None
        if time.monotonic() > deadline:
            raise TimeoutError("the reply was still coming when the time was up")
    return bytes(content)
