import pickle
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from evolve.errors import FitnessError
from evolve.genomes.vector import Vector
from evolve.score import Needs, Objective, Score
from fitness.function import Function, maximise, minimise, number, objectives
from tests.contracts.fitness import FitnessContract
from tests.fitness.test_problems import vectors
from tests.fitness.tiny import Shifted, tokens


@objectives(maximise("height"), minimise("width", unit="m"), constraints=["too_wide"], timeout=9)
def shape(model: np.ndarray, seed: int) -> Mapping[str, float]:
    noise = np.random.default_rng(seed).random()
    height, width = (float(value) for value in model[:2])
    if height > 2:
        raise RuntimeError("it fell over")
    return {"height": height + noise, "width": width, "too_wide": width - 0.5, "area": height}


class TestContract(FitnessContract):
    @pytest.fixture
    def fitness(self) -> Function:
        return shape

    @pytest.fixture
    def genomes(self) -> list[Vector]:
        return vectors()

    @pytest.fixture
    def misfit(self) -> Shifted:
        return Shifted("nowhere", 0.0)


class TestContractWithAModel(FitnessContract):
    @pytest.fixture
    def fitness(self, llama: Path) -> Function:
        return Function(first_logit, (maximise("logit"),), architecture=llama)

    @pytest.fixture
    def genomes(self, shifted: list[Shifted]) -> list[Shifted]:
        return shifted

    @pytest.fixture
    def misfit(self, llama: Path) -> Shifted:
        return Shifted(str(llama), 0.0, ("model.norm.weight",))


def first_logit(model: torch.nn.Module) -> float:
    output = model(input_ids=torch.tensor(tokens(1)))
    assert not model.training
    assert not output.logits.requires_grad
    assert not torch.is_grad_enabled()
    return output.logits[0, 0, 0]


def score_of(returned: object, *declared: Objective, constraints: tuple[str, ...] = ()) -> Score:
    """The score of a function that returns `returned`."""

    @objectives(*(declared or [maximise("a")]), constraints=constraints)
    def anything(model: object) -> float:
        return returned  # type: ignore[return-value]

    return anything.evaluate(vectors(1), 0, 0)[0]


def test_declaration() -> None:
    assert shape.objectives == (Objective("height", True), Objective("width", False, "m"))
    assert shape.needs == Needs(timeout=9)
    assert shape.rungs == (1,)
    wide = objectives(maximise("a"), cpus=2, gpus=1, memory=10)(lambda model: 1.0)
    assert wide.needs == Needs(cpus=2, gpus=1, memory=10)


def test_values_constraints_and_metrics() -> None:
    genome = Vector(np.array([0.1, 0.7, 0, 0, 0, 0]), vectors(1)[0].box)
    score = shape.evaluate([genome], 0, 3)[0]
    assert score.values == (0.1 + np.random.default_rng(3).random(), 0.7)
    assert score.violation == pytest.approx(0.2)
    assert dict(score.metrics) == {"too_wide": pytest.approx(0.2), "area": 0.1}
    kept = score_of({"a": 1, "late": -3.0, "big": 0.5}, constraints=("late", "big"))
    assert kept.values == (1.0,)
    assert kept.violation == 0.5


@pytest.mark.parametrize(
    "one",
    [2, 2.0, np.float32(2), np.int64(2), np.array(2.0), torch.tensor(2.0), torch.tensor(2)],
    ids=repr,
)
def test_what_is_a_number(one: object) -> None:
    for score in (score_of(one), score_of({"a": one})):
        assert score.values == (2.0,)
        assert type(score.values[0]) is float


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (float("nan"), "'a' is nan, expected a finite number"),
        (float("inf"), "'a' is inf, expected a finite number"),
        (torch.tensor(float("nan")), "'a' is nan, expected a finite number"),
        (10**400, "expected a finite number"),
        (True, "'a' is True (bool), expected one number"),
        (np.True_, "'a' is np.True_ (bool), expected one number"),
        (torch.tensor(True), "'a' is tensor(True) (Tensor), expected one number"),
        (None, "'a' is None (NoneType), expected one number"),
        ("0.9", "'a' is '0.9' (str), expected one number"),
        (1j, "'a' is 1j (complex), expected one number"),
        ([1.0], "'a' is [1.0] (list), expected one number"),
        (np.ones(1), "'a' is array([1.]) (ndarray), expected one number"),
        (torch.ones(1), "'a' is tensor([1.]) (Tensor), expected one number"),
        ({}, "returned no 'a'"),
        ({"b": 1.0}, "anything returned no 'a', only 'b'"),
        ({"a": 1.0, "b": float("nan")}, "'b' is nan, expected a finite number"),
        ({"a": 1.0, "b": "fine"}, "'b' is 'fine' (str), expected one number"),
        ({"a": 1.0, 3: 1.0}, "the key 3 is int, expected a name"),
    ],
)
def test_what_is_no_number_is_a_failed_evaluation(wrong: object, message: str) -> None:
    score = score_of(wrong)
    assert score.values == ()
    assert score.error is not None
    assert score.error.startswith("invalid: ")
    assert message in score.error


def test_the_wrong_length_is_a_failed_evaluation() -> None:
    two = (maximise("a"), minimise("b"))
    for returned in (1.0, (1.0, 2.0)):
        score = score_of(returned, *two)
        assert score.error is not None
        assert "expected a dict with 'a', 'b'" in score.error
    assert score_of(1.0, constraints=("late",)).error is not None
    assert score_of({"a": 1.0}, constraints=("late",)).error is not None


def test_what_raises_is_a_failed_evaluation_with_its_traceback() -> None:
    tall = Vector(np.array([3.0, 0, 0, 0, 0, 0]), vectors(1)[0].box)
    score = shape.evaluate([tall], 0, 0)[0]
    assert score.error == "exception: RuntimeError: it fell over"
    assert 'raise RuntimeError("it fell over")' in score.notes["traceback"]


def test_a_number_has_a_name() -> None:
    assert number("a", 1) == 1.0
    with pytest.raises(FitnessError, match="the key None is NoneType"):
        number(None, 1)


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: objectives()(lambda model: 1.0), "declares no objective"),
        (lambda: objectives(maximise("a"), minimise("a"))(lambda model: 1.0), "'a' twice"),
        (lambda: objectives(maximise("a"), constraints="a")(lambda model: 1.0), "'a' twice"),
        (lambda: objectives(maximise("a"))(lambda: 1.0), r"takes \(\); give it `model`"),
        (lambda: objectives(maximise("a"))(lambda model, x: 1.0), r"takes \(model, x\)"),
        (lambda: objectives(maximise("a"), timeout=0)(lambda model: 1.0), "timeout is 0"),
    ],
)
def test_wrong_declarations_are_refused(declare: object, message: str) -> None:
    with pytest.raises(FitnessError, match=message):
        declare()  # type: ignore[operator]


def test_a_model_that_the_function_writes_into_does_not_reach_the_next(
    llama: Path, shifted: list[Shifted]
) -> None:
    @objectives(maximise("logit"), architecture=llama)
    def vandal(model: torch.nn.Module) -> float:
        logit = first_logit(model)
        model.train()
        for parameter in model.parameters():
            parameter.zero_()
        return logit

    first, second = vandal.evaluate([shifted[0], shifted[0]], 0, 0)
    assert first.values == second.values
    assert first.values != (0.0,)


def test_a_module_holds_it_by_name() -> None:
    data = pickle.dumps(shape)
    assert pickle.loads(data) is shape
    assert len(data) < 120
    import ray.cloudpickle

    assert ray.cloudpickle.loads(ray.cloudpickle.dumps(shape)) is shape


def run(folder: Path, code: str) -> str:
    """What `code` prints in a process of its own with `folder` first on the path."""
    root = Path(__file__).parents[2]
    program = (
        f"import sys; sys.path[:0] = [{str(folder)!r}, {str(root)!r}]\n{textwrap.dedent(code)}"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=folder, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


USERS = """
    from fitness.function import maximise, objectives

    SCALE = 10

    def helper(model):
        return SCALE * float(model.sum())

    @objectives(maximise("total"))
    def score(model):
        return helper(model)
"""
READ = """
    import sys, pickle, pathlib
    import numpy as np
    from evolve.genomes.vector import Box, Vector
    fitness = pickle.loads(pathlib.Path("fitness.pickle").read_bytes())
    ones = Vector(np.ones(3), Box.of(0.0, 1.0, 3))
    print(fitness.evaluate([ones], 0, 0)[0].values, "users" in sys.modules)
"""


@pytest.mark.parametrize("pickler", ["pickle", "ray.cloudpickle"])
def test_another_process_imports_a_users_module(tmp_path: Path, pickler: str) -> None:
    (tmp_path / "users.py").write_text(textwrap.dedent(USERS))
    write = f"""
        import {pickler}, pathlib, users
        pathlib.Path("fitness.pickle").write_bytes({pickler}.dumps(users.score))
    """
    run(tmp_path, write)
    assert run(tmp_path, READ) == "(30.0,) True\n"
    (tmp_path / "users.py").write_text("score = 1\n")
    changed = """
        import pathlib, pickle
        from evolve.errors import FitnessError
        try:
            pickle.loads(pathlib.Path("fitness.pickle").read_bytes())
        except FitnessError as error:
            print(error)
    """
    assert "users.score is not a fitness here" in run(tmp_path, changed)


def test_the_architecture_is_an_absolute_path_or_a_hub_id(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def declared(place: Path | str) -> Function:
        return objectives(maximise("logit"), architecture=place)(first_logit)

    monkeypatch.chdir(llama.parent)
    assert declared(llama.name).architecture == declared(Path(llama.name)).architecture == llama
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(llama))
    assert declared("some/model").architecture == llama


def test_an_architecture_that_is_not_there_is_said_when_it_is_used(shifted: list[Shifted]) -> None:
    nowhere = objectives(maximise("logit"), architecture="./nowhere")(first_logit)
    score = nowhere.evaluate(shifted[:1], 0, 0)[0]
    assert score.error is not None
    assert score.error.startswith("invalid: There is no checkpoint directory nowhere")


def test_a_worker_elsewhere_gets_the_drivers_architecture(tmp_path: Path) -> None:
    (tmp_path / "here" / "model").mkdir(parents=True)
    (tmp_path / "there").mkdir()
    users = textwrap.dedent(USERS).replace('"total")', '"total"), architecture="model"')
    (tmp_path / "here" / "users.py").write_text(users)
    write = """
        import pickle, pathlib, users
        pathlib.Path("../there/fitness.pickle").write_bytes(pickle.dumps(users.score))
    """
    run(tmp_path / "here", write)
    read = """
        import pickle, pathlib, sys
        sys.path.append("../here")
        fitness = pickle.loads(pathlib.Path("fitness.pickle").read_bytes())
        print(fitness.architecture, "users" in sys.modules)
    """
    assert run(tmp_path / "there", read) == f"{(tmp_path / 'here' / 'model').resolve()} True\n"


def test_a_script_travels_by_value(tmp_path: Path) -> None:
    write = """
        import ray.cloudpickle, pathlib
        pathlib.Path("fitness.pickle").write_bytes(ray.cloudpickle.dumps(score))
    """
    run(tmp_path, textwrap.dedent(USERS) + textwrap.dedent(write))
    assert run(tmp_path, READ) == "(30.0,) False\n"


def test_a_closure_travels_by_value() -> None:
    import ray.cloudpickle

    bonus = 2.0

    @objectives(maximise("total"), constraints=["late"], memory=5, timeout=3)
    def local(model: np.ndarray) -> Mapping[str, float]:
        return {"total": float(model.sum()) + bonus, "late": 1.0}

    copied = ray.cloudpickle.loads(ray.cloudpickle.dumps(local))
    assert copied.needs == local.needs
    one = vectors(1)
    assert copied.evaluate(one, 0, 0)[0].values == local.evaluate(one, 0, 0)[0].values
    assert copied.evaluate(one, 0, 0)[0].violation == 1.0
