from __future__ import annotations

from operators.code.chains import Step, Tied, chains
from operators.code.tree import kind
from operators.code.view import View, views
from tests.operators.code.starts import FORWARD, LISTED, SEQUENTIAL, program


def region(text: str) -> View:
    return views(program(text))[0]


def words(steps: tuple[Step, ...]) -> list[str]:
    """Kinds of calls; `?` a gap, brackets what is tied."""
    found: list[str] = []
    for step in steps:
        if isinstance(step, Tied):
            found += ["(", *words(step.steps), ")"]
        else:
            found.append("?" if step is None else kind(step))
    return found


def test_a_sequential_is_a_chain() -> None:
    (steps,) = chains(region(SEQUENTIAL)).values()
    assert words(steps)[:4] == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]
    assert len(steps) == 13


def test_sequentials_in_sequentials_are_one_chain() -> None:
    text = SEQUENTIAL.replace("nn.ReLU(),", "nn.Sequential(nn.ReLU(), other),", 1)
    (steps,) = chains(region(text)).values()
    assert words(steps)[2:4] == ["ReLU", "?"]


def test_a_straight_forward_is_a_chain() -> None:
    steps = chains(region(FORWARD))[":Net"]
    assert words(steps) == [
        *("Conv2d", "relu", "max_pool2d", "Conv2d", "BatchNorm2d", "tanh"),
        *("(", "Conv2d", "ReLU", ")", "adaptive_avg_pool2d", "view"),
        *("Linear", "gelu", "dropout", "Linear"),
    ]


def test_a_forward_that_branches_is_none() -> None:
    branching = FORWARD.replace("x = F.max_pool2d(x, 2)", "y = self.norm(x)\n        x = y + x")
    assert ":Net" not in chains(region(branching))
    twice = FORWARD.replace("self.out(x)", "self.out(self.first(x))")
    assert ":Net" not in chains(region(twice))
    looping = FORWARD.replace(
        "        return self.out(x)", "        for i in (1,):\n            x"
    )
    assert ":Net" not in chains(region(looping))


def test_layers_in_a_list_and_around_others() -> None:
    found = chains(region(LISTED))
    assert words(found["build/0"])[:6] == ["Half", "Half", "(", "Conv2d", "active", ")"]
    assert words(found[":Half"]) == ["Conv2d", "BatchNorm2d", "SiLU"]
