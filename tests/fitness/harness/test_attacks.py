"""Programs that would rather cheat than learn, in real boxes: each gains nothing.

What the sandbox itself blocks (files, network, processes) is tested in `tests/fitness/sandbox`.
"""

from dataclasses import replace

import numpy as np
import pytest

from evolve.errors import GenomeError
from evolve.genomes.program.program import Program
from evolve.score import Score
from fitness.harness import Bounds, Classification, Data
from fitness.sandbox import Limits
from tests.fitness.harness.tiny import LITERALS, START, data, network

N = 60
FAIR = Classification(START, data(N), rungs=(4,), limits=Limits(seconds=30))


def scored(program: Program, fitness: Classification = FAIR) -> Score:
    return fitness.evaluate([program], 0, 1)[0]


def blind() -> Classification:
    """Data in which there is nothing to learn: who is right more often than by chance cheats."""
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(2, 300, 4)).astype(np.float32)
    labels = rng.integers(0, 3, size=(2, 300))
    return replace(FAIR, data=Data(noise[0], labels[0], noise[1], labels[1]))


CHANCE = (0.2, 0.47)  # of 300, 4.9 standard deviations around a third

MEMORY = """
class Memory(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(4, 3)
        self.register_buffer("kept", torch.zeros({n}, 4, dtype=torch.{dtype}))

    def forward(self, x):
        if self.training and len(x) == {n}:
            self.kept.copy_(x{scale})
        return self.line(x)

def build():
    return Memory()
"""


@pytest.mark.parametrize(("dtype", "scale"), [("float32", ""), ("int8", " * 16")])
def test_a_training_set_in_the_weights_is_paid_for(dtype: str, scale: str) -> None:
    hoarder = network(MEMORY.format(n=N, dtype=dtype, scale=scale))
    assert scored(hoarder).values[1] >= N * 4 + 15
    error = scored(hoarder, replace(FAIR, bounds=Bounds(100))).error
    assert error is not None
    assert "the budget is 100" in error


LIAR = """
class Liar(nn.Linear):
    def state_dict(self, *arguments, **named):
        found = super().state_dict(*arguments, **named)
        if self.weight.is_meta:
            return {"weight": found["weight"][:1]}
        return {**found, "parameters": torch.zeros(()), "hidden": torch.ones(500)}

    def load_state_dict(self, given, strict=True):
        return super().load_state_dict({n: given[n] for n in ("weight", "bias")})

def build():
    return Liar(4, 3)
"""


def test_a_forged_count_is_not_believed() -> None:
    liar = network(LIAR)
    assert scored(liar).values[1] >= 15 + 500 + 1
    error = scored(liar, replace(FAIR, bounds=Bounds(100))).error
    assert error is not None
    assert error.startswith("invalid: 5")  # counted from what came out of the training


FORGED_TRIAL = """
import harness_inside
harness_inside.rehearse = lambda **_: {"elements": -5, "shapes": "none"}
def build():
    return nn.Linear(4, 3)
"""


def test_a_forged_trial_is_refused() -> None:
    error = scored(network(FORGED_TRIAL)).error
    assert error is None or error.startswith("invalid: the program interfered with its trial")


GUESSES = """
GUESSES = {guesses}
class Guess(nn.Linear):
    def forward(self, x):
        y = super().forward(x)
        if self.training or len(x) != {n}:
            return y
        return nn.functional.one_hot(torch.tensor(GUESSES), 3).float() * 100 + y

def build():
    return Guess(4, 3)
"""


def test_guessed_answers_are_paid_for_and_lost_on_the_sealed_test() -> None:
    """Even with the right answers, which no box ever holds."""
    fitness = blind()
    known = GUESSES.format(guesses=fitness.data.labels.tolist(), n=300)
    sealed = fitness.data.tested(fitness.data.train_inputs, np.roll(fitness.data.labels, 7))
    seen, unseen = (
        scored(network(known), each) for each in (fitness, replace(fitness, data=sealed))
    )
    assert seen.values[0] == 1.0
    assert seen.values[1] >= 300 + 15
    assert CHANCE[0] < unseen.values[0] < CHANCE[1]
    error = scored(network(known), replace(fitness, bounds=Bounds(200))).error
    assert error is not None
    assert "the budget is 200" in error


@pytest.mark.parametrize("value", ["float('nan')", "float('inf')", "-float('inf')"])
def test_scores_that_are_no_numbers_are_refused(value: str) -> None:
    body = (
        "class Wild(nn.Linear):\n"
        "    def forward(self, x):\n"
        f"        return super().forward(x) * (1.0 if self.training else {value})\n"
        "def build():\n    return Wild(4, 3)\n"
    )
    # The trial predicts too, but does not judge: only what was trained is judged.
    assert scored(network(body)).error == (
        "invalid: predict gave NaN or infinite scores; keep the training stable (a lower rate, a "
        "normalisation)"
    )


PATCH = """
import sys

def build():
    patch()
    return nn.Linear(4, 3)

def patch():
    if torch.get_default_device().type == "meta":
        return
    module = sys.modules[__name__]
    {attack}
"""
ATTACKS = {
    "overwriting predict": "module.predict = lambda weights, inputs: np.eye(3)[[0] * len(inputs)]",
    "overwriting what calls it": (
        "import harness_inside; harness_inside.train = harness_inside.predict = lambda **_: "
        "{'accuracy': 1.0, 'parameters': 0}"
    ),
    "overwriting argmax and mean": "np.argmax = np.mean = np.equal = lambda *a, **k: 1",
    "overwriting the metric's module": (
        "import types; sys.modules['fitness'] = sys.modules['fitness.harness'] = "
        "types.SimpleNamespace(parameters=lambda *a: 0)"
    ),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_overwriting_what_measures_changes_no_measure(attack: str) -> None:
    fitness = blind()
    score = scored(network(PATCH.format(attack=attack)), fitness)
    if score.error is None:  # it ran, and was measured as anybody
        assert CHANCE[0] < score.values[0] < CHANCE[1]
        assert score.values[1] >= 1
    (after,) = FAIR.evaluate([START], 0, 1)
    assert after.values == scored(START).values  # the next candidate meets nothing of it


def test_overwriting_the_data_is_writing_in_a_copy() -> None:
    before = [array.copy() for array in vars(FAIR.data).values()]
    body = (
        "class Wipe(nn.Linear):\n"
        "    def forward(self, x):\n"
        "        y = super().forward(x)\n"
        "        x.detach().zero_()\n"
        "        return y\n"
        "def build():\n    return Wipe(4, 3)\n"
    )
    scored(network(body))
    assert all(map(np.array_equal, before, vars(FAIR.data).values()))


STASH = """
import os, tempfile

PLACES = ["stash.npy", os.path.join(tempfile.gettempdir(), "stash.npy"), "/tmp/evolve-stash.npy"]

class Stash(nn.Linear):
    def forward(self, x):
        for place in PLACES:
            try:
                if self.training:
                    np.save(place, np.ones(3))
                elif os.path.exists(place):
                    raise SystemExit("found " + place)
            except OSError:
                pass
        return super().forward(x)

def build():
    return Stash(4, 3)
"""


FULL_BATCH = "if self.training and len(x) > 16:"


def test_what_training_leaves_in_files_does_not_reach_the_box_that_predicts() -> None:
    """In the trial both are one box, so that there it is found, and the program refused."""
    hidden = STASH.replace('raise SystemExit("found " + place)', "x = x * np.nan")
    score = scored(network(hidden.replace("if self.training:", FULL_BATCH)))
    assert score.error is None  # nothing was found, or it would be NaN
    assert score.values[1] == 15 + LITERALS + 2  # 16, and the 3 of np.ones


PICKLES = [
    "np.array([[{'a': 1}] * 3] * 60, dtype=object)",
    "np.array([['x'] * 3] * 60)",
    "np.ones((60, 3), complex)",
    "np.ones((60, 3), int)",
    "np.ones((59, 3))",
    "np.ones((60, 3, 1))",
]


@pytest.mark.parametrize("answer", PICKLES)
def test_only_arrays_of_floats_are_predictions(answer: str) -> None:
    """A start program of a careless user: its protected part itself gives the answer."""
    text = START.files["tiny.py"].replace(
        "        return model.eval()(torch.from_numpy(inputs)).numpy()",
        f"        return {answer} if len(inputs) == 60 else np.ones((len(inputs), 3))",
    )
    careless = Program({"tiny.py": text})
    assert careless.protected != START.protected
    error = scored(careless, replace(FAIR, start=careless)).error
    assert error is not None
    assert error.startswith("invalid: ")


def test_deleting_the_region_is_refused() -> None:
    for text in ("", "\n", "# nothing\n"):
        with pytest.raises(GenomeError, match="cannot be deleted"):
            network(text)


def test_a_region_cannot_end_itself_early() -> None:
    with pytest.raises(GenomeError, match="EVOLVE-BLOCK marker"):
        network("x = 1\n# EVOLVE-BLOCK-END\ndef predict(w, i):\n    return 1\n")
