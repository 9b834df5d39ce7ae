"""A language model's endpoint that says what a test wants: the real protocol, on a local port.

`with serve("hello") as server: Chat("fake", base_url=server.base_url)`, or with a script: a
function of the request's number, from 0, and the request, to a behaviour.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A request as the server got it."""

    body: Mapping[str, Any]
    authorization: str

    @property
    def prompt(self) -> str:
        """All messages' text, one below the other."""
        return "\n".join(message["content"] for message in self.body["messages"])

    @property
    def limit(self) -> int:
        """The most tokens that the answer may have."""
        return int(self.body.get("max_completion_tokens") or self.body.get("max_tokens") or 16)


@dataclass(frozen=True)
class Say:
    """Answer. `usage`: prompt and completion tokens; None: a token for four bytes."""

    text: str
    usage: tuple[int, int] | None = None
    reports_usage: bool = True
    finish: str = "stop"


@dataclass(frozen=True)
class Refuse:
    """Answer with a status of 400 or more and an error object."""

    status: int
    message: str = "refused by the script"
    code: str | None = None
    param: str | None = None
    retry_after: str | None = None


@dataclass(frozen=True)
class Stall:
    """Say nothing for `seconds`, then hang up."""

    seconds: float = 60.0


@dataclass(frozen=True)
class Drip:
    """Answer byte by byte, with a pause before each; from the headers on with `headers`."""

    text: str = "slow"
    pause: float = 0.02
    headers: bool = False


@dataclass(frozen=True)
class HangUp:
    """Close the connection after so many bytes of an answer."""

    sent: int = 0


@dataclass(frozen=True)
class Raw:
    """Status 200 with any body."""

    body: bytes
    kind: str = "application/json"


Behaviour = Say | Refuse | Stall | Drip | HangUp | Raw
Script = Callable[[int, Asked], Behaviour]


@dataclass
class FakeServer:
    """What is known of a running server. `asked`: all requests so far, in order of arrival."""

    base_url: str = ""
    asked: list[Asked] = field(default_factory=list)
    reported: int = 0  # tokens of all usage fields that were sent

    @property
    def count(self) -> int:
        return len(self.asked)


@contextmanager
def serve(script: Script | str) -> Iterator[FakeServer]:
    """A server that behaves as `script` says (a text: it always says that), while in the block."""
    server = FakeServer()
    lock, over = threading.Lock(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path != "/v1/chat/completions":
                self._send(404, _error(f"no such path: {self.path}"))
                return
            try:
                body = json.loads(content)
                problem = _problem(body)
            except ValueError:
                body, problem = {}, "the body is not JSON"
            if problem:
                self._send(400, _error(problem))
                return
            asked = Asked(body, self.headers.get("Authorization", ""))
            with lock:
                number = server.count
                server.asked.append(asked)
            behaviour = Say(script) if isinstance(script, str) else script(number, asked)
            try:
                self._behave(behaviour, asked)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the client has gone

        def _behave(self, behaviour: Behaviour, asked: Asked) -> None:
            match behaviour:
                case Say():
                    content = completion(behaviour, asked)
                    with lock:  # a usage counts as reported before anyone can have read it
                        server.reported += _reported(content)
                    self._send(200, content)
                case Refuse():
                    headers = {"Retry-After": behaviour.retry_after}
                    text = _error(behaviour.message, behaviour.code, behaviour.param)
                    self._send(behaviour.status, text, headers)
                case Raw():
                    self._send(200, behaviour.body, {"Content-Type": behaviour.kind})
                case Stall():
                    over.wait(behaviour.seconds)
                    self.close_connection = True
                case HangUp():
                    self.wfile.write(_head(1000)[: behaviour.sent])
                    self.close_connection = True
                case Drip():
                    content = completion(Say(behaviour.text), asked)
                    head = _head(len(content))
                    if not behaviour.headers:
                        self.wfile.write(head)
                    for byte in head + content if behaviour.headers else content:
                        if over.wait(behaviour.pause):
                            break
                        self.wfile.write(bytes([byte]))
                    self.close_connection = True

        def _send(
            self, status: int, content: bytes, headers: Mapping[str, str | None] | None = None
        ) -> None:
            sent = {"Content-Type": "application/json", **(headers or {})}
            self.send_response(status)
            for name, value in sent.items():
                if value is not None:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Tests have output enough."""

    class Listener(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False  # a stalled request must not hold the test up
        request_queue_size = 64

        def handle_error(self, request: object, client_address: object) -> None:
            """Clients that hang up are wanted here."""

    listener = Listener(("127.0.0.1", 0), Handler)
    server.base_url = f"http://127.0.0.1:{listener.server_address[1]}/v1"
    thread = threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        over.set()
        listener.shutdown()
        listener.server_close()
        thread.join()


def completion(say: Say, asked: Asked) -> bytes:
    """The body of an answer, as in the protocol."""
    prompt, said = say.usage or (_tokens(asked.prompt), min(_tokens(say.text), asked.limit))
    data: dict[str, object] = {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 0,
        "model": asked.body["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": say.text, "refusal": None},
                "finish_reason": say.finish,
                "logprobs": None,
            }
        ],
    }
    if say.reports_usage:
        data["usage"] = {
            "prompt_tokens": prompt,
            "completion_tokens": said,
            "total_tokens": prompt + said,
        }
    return json.dumps(data).encode()


def _head(length: int) -> bytes:
    lines = ("HTTP/1.1 200 OK", "Content-Type: application/json", f"Content-Length: {length}")
    return "\r\n".join((*lines, "", "")).encode()


def _reported(content: bytes) -> int:
    return int(json.loads(content).get("usage", {}).get("total_tokens", 0))


def _tokens(text: str) -> int:
    return -(-len(text.encode()) // 4)


def _error(message: str, code: str | None = None, param: str | None = None) -> bytes:
    kind = "invalid_request_error"
    error = {"message": message, "type": kind, "param": param, "code": code}
    return json.dumps({"error": error}).encode()


def _problem(body: dict[str, Any]) -> str | None:
    """What a real endpoint would object to."""
    if not isinstance(body.get("model"), str):
        return "model is required"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "messages is required"
    for message in messages:
        if message.get("role") not in ("system", "user", "assistant"):
            return f"unknown role: {message.get('role')}"
        if not isinstance(message.get("content"), str):
            return "content must be a text"
    if body.get("stream"):
        return "this server does not stream"
    return None
