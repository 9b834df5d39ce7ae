"""What honest and careless functions get for what they return."""

from __future__ import annotations

import pytest

from fitness.sandbox import Answer, Call, Limits
from fitness.sandbox.server import Server
from tests.fitness.sandbox.conftest import Servers


@pytest.fixture
def full(servers: Servers) -> Server:
    return servers("full (root)")


def called(server: Server, body: str, function: str = "m:f", **files: str) -> Answer:
    call = Call({"m.py": body, **files}, function, limits=Limits(seconds=30))
    return server.run(call)


@pytest.mark.parametrize(
    ("returned", "value"),
    [
        ("None", None),
        ("[1, 2.5, 'é', True, {'a': []}]", [1, 2.5, "é", True, {"a": []}]),
        ("(np.float32(0.5), np.int64(3))", [0.5, 3]),
        ("{}", {}),
    ],
)
def test_json(full: Server, returned: str, value: object) -> None:
    answer = called(full, f"import numpy as np\ndef f(): return {returned}\n")
    assert (answer.value, answer.error) == (value, None)


def test_an_array_may_have_any_name(full: Server) -> None:
    body = "import numpy as np\ndef f(): return {n: np.ones(1) for n in ('file', '0.weight')}\n"
    value = called(full, body).value
    assert isinstance(value, dict)
    assert set(value) == {"file", "0.weight"}


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ("np.ones(3)", "it holds ndarray"),
        ("{'a': np.ones(3), 'b': 1}", "it holds ndarray"),
        ("object()", "it holds object"),
        ("{'a': np.array([None])}", "'a' holds object"),
        ("{(1, 2): 3}", "keys must be"),
        ("'\\ud800'", "the answer is no JSON"),
    ],
)
def test_what_is_neither_is_invalid(full: Server, returned: str, reason: str) -> None:
    answer = called(full, f"import numpy as np\ndef f(): return {returned}\n")
    assert str(answer.error).startswith("invalid: ")
    assert reason in str(answer.error)


def test_modules_import_each_other(full: Server) -> None:
    files = {"parts/block.py": "WIDTH = 3\n", "parts/__init__.py": ""}
    body = "from parts.block import WIDTH\nclass A:\n    def f(): return WIDTH\n"
    assert called(full, body, "m:A.f", **files).value == 3
    assert called(full, "", "parts.block:WIDTH.bit_length", **files).error is not None


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("", "exception: AttributeError: m has no 'f'; the call is of 'm:f'"),
        ("def f(): raise SystemExit(0)", "exception: SystemExit: 0"),
        ("import nowhere", "exception: ModuleNotFoundError: No module named 'nowhere'"),
        ("def f(x): pass", "exception: TypeError: f() missing 1 required positional argument"),
        ("def f(): return f()", "exception: RecursionError"),
        (
            "import torch\ndef f(): torch.ones(1 << 40)",
            "out of memory: RuntimeError: [enforce fail",
        ),
        ("def f(): raise MemoryError", "out of memory: MemoryError"),
        (
            "class E(Exception):\n    def __str__(self): raise ValueError\ndef f(): raise E",
            "exception: E",
        ),
    ],
)
def test_what_went_wrong(full: Server, body: str, error: str) -> None:
    answer = called(full, body)
    assert str(answer.error).startswith(error), answer


def test_output_is_kept_when_the_answer_comes(full: Server) -> None:
    answer = called(full, "def f():\n    print('half a line', end='')\n    return 1\n")
    assert (answer.value, answer.output) == (1, "half a line")
