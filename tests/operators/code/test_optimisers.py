from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.code import optimisers
from operators.code.mutator import applied
from operators.code.view import views
from tests.operators.code.starts import program

START = "def optimiser(parameters):\n    return torch.optim.{}\n"


def texts(call: str, rounds: int = 24) -> set[str]:
    start = program().swapped({"optimiser": START.format(call)})
    (view,) = (view for view in views(start) if view.name == "optimiser")
    rng = np.random.default_rng(0)
    sites = list(optimisers().sites(view))
    return {applied(view, site(rng)).code for site in sites for _ in range(rounds)}


@pytest.mark.parametrize(
    "call",
    [
        "SGD(parameters, lr=0.02, momentum=0.9, nesterov=True, weight_decay=1e-4)",
        "AdamW(parameters, 0.003, betas=(0.9, 0.999))",
        "RMSprop(parameters)",
    ],
)
def test_every_child_is_an_optimiser(call: str) -> None:
    found = texts(call)
    assert len({text.split("optim.")[1].split("(")[0] for text in found}) == 5
    for text in found:
        names: dict[str, object] = {"torch": torch}
        exec(compile(text, "optimiser", "exec"), names)
        build = names["optimiser"]
        assert callable(build)
        made = build([torch.nn.Parameter(torch.zeros(2))])
        assert 1e-5 < made.defaults["lr"] < 1


def test_rates_are_carried_over() -> None:
    found = texts("SGD(parameters, lr=0.05)")
    assert any("Adam(parameters, lr=0.003)" in text for text in found)
    named = texts("SGD(parameters, lr=rate)")
    assert any("Adam(parameters, lr=0.06 * (rate))" in text for text in named)


def test_settings_of_one_kind_stay_with_it() -> None:
    found = texts("SGD(parameters, lr=0.02, momentum=0.9, weight_decay=1e-4)")
    others = [text for text in found if "Adam" in text]
    assert others
    assert not [text for text in others if "momentum" in text]
    assert all("weight_decay=1e-4" in text for text in others)
