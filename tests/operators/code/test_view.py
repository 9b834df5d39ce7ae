from __future__ import annotations

import libcst as cst

from evolve.genomes.program.program import Program
from operators.code.view import views
from tests.operators.code.starts import FORWARD, ROWS, program, whole_function


def test_every_region_is_seen() -> None:
    names = [view.name for view in views(program())]
    assert names == ["network", "optimiser", "schedule", "augment"]
    (only,) = views(whole_function())
    assert (only.name, only.function) == ("build", True)


def test_constants_are_names_bound_once_to_a_number() -> None:
    assert views(program())[0].constants["CLASSES"] == 10
    rows = views(program(ROWS))[0]
    assert (rows.constants["width"], rows.constants["hidden"]) == (32, 16)
    twice = views(program(ROWS.replace("hidden = width // 2", "width = 2; hidden = width // 2")))
    assert "width" not in twice[0].constants
    assert views(program(FORWARD))[0].constants["width"] == 8


def test_a_parameter_hides_a_constant_around() -> None:
    text = "def build(CLASSES):\n    return CLASSES\n"
    assert "CLASSES" not in views(program(text))[0].constants


def test_classes_and_what_layers_are_called() -> None:
    view = views(program(FORWARD))[0]
    assert view.classes["Net"] == ("width",)
    assert view.nn == "nn."
    text = "import torch\n\n\ndef build():\n    return torch.nn.Linear(1, 2)\n"
    assert views(Program({"net.py": text}, ("net.py:build",)))[0].nn == "torch.nn."
    text = "def build():\n    return Linear(1, 2)\n"
    assert views(Program({"net.py": text}, ("net.py:build",)))[0].nn is None


def test_scopes() -> None:
    view = views(program(FORWARD))[0]
    calls = [node for node in view.nodes if isinstance(node, cst.Call)]
    assert view.scope(calls[0]) == "Net.__init__"
    assert view.scope(calls[-1]) == "build"


def test_an_edited_region_has_its_own_names() -> None:
    view = views(program(ROWS))[0]
    other = view.at(cst.parse_module(ROWS.replace("width = 32", "width = 24")))
    assert (view.constants["hidden"], other.constants["hidden"]) == (16, 12)
