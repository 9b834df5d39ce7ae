"""`evolve export --form`: what of a compression profile leaves by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import evolve
from evolve import Experiment, Genetic, Steady
from evolve.export import recipes
from evolve.export.evopress import bits_text, depth_text
from evolve.export.forms import Form
from evolve.genomes.compression.budget import Budget, weight_bits
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import BitGrid, ProfileSpace
from evolve.genomes.vector import Vector
from fitness.problems import Problem, sphere
from fitness.profile_cost import ProfileCost
from operators.compression.levels import BudgetSwitch
from operators.selection import Tournament, Truncation
from operators.vector import GaussianMutation
from tests.evolve import cases, test_cli
from tests.evolve.export.profiles import mixed, write_levels, write_model
from tests.evolve.test_cli import Evolve, assert_refused

quick = test_cli.quick
TEXTS = {
    Form.LLAMA_CPP: {recipes.TENSOR_TYPES},
    Form.GPTQMODEL: {recipes.DYNAMIC},
    Form.EVOPRESS: {"layer_drop_config.txt", "quantization.txt"},
    Form.JSON: set[str](),
}


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> ProfileSpace:
    folder = tmp_path_factory.mktemp("space")
    grid = BitGrid((4, 8), group=16)
    model = write_model(folder / "model", "llama", num_key_value_heads=2, num_hidden_layers=2)
    return ProfileSpace.of(
        model, write_levels(folder / "levels", model, grid), grid=grid, depth=True
    )


@pytest.fixture(scope="module")
def out(space: ProfileSpace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two profiles: birth 0 keeps everything, birth 1 has an attention less."""
    cost = weight_bits(space)
    fitness = ProfileCost(cost)

    def search() -> Genetic[CompressionProfile]:
        return Genetic(
            founders=[mixed(space), mixed(space, attention=(1,))],
            operators=[BudgetSwitch(Budget(space, cost, 10**9))],
            selection=Truncation(),
            mating=Tournament(),
            objectives=fitness.objectives,
            size=2,
            pace=Steady(1),
        )

    out = tmp_path_factory.mktemp("runs") / "run"
    evolve.run(Experiment("small", search, fitness, births=2), out)
    return out


def test_every_form_is_written(
    quick: Evolve, out: Path, space: ProfileSpace, tmp_path: Path
) -> None:
    for form, files in TEXTS.items():
        to = tmp_path / form
        said = quick("export", out, "--pick", "birth:0", "--to", to, "--form", form)
        assert said.status == 0, said
        assert f"Exported birth 0 to {to}\n" in said.out
        assert ("Note: " in said.out) == (form is not Form.JSON)
        assert {file.name for file in to.iterdir()} == files | {"profile.json", "README.md"}
        assert "## Lineage" in (to / "README.md").read_text()
    bits = (tmp_path / "evopress" / "quantization.txt").read_text()
    assert bits == bits_text(mixed(space))
    assert (tmp_path / "evopress" / "layer_drop_config.txt").read_text() == depth_text(
        mixed(space)
    )
    dynamic = json.loads((tmp_path / "gptqmodel" / recipes.DYNAMIC).read_text())
    assert dynamic == recipes.gptqmodel_dynamic(mixed(space))


def test_a_checkpoint_is_what_is_written_otherwise(
    quick: Evolve, out: Path, tmp_path: Path
) -> None:
    asked = ("--form", Form.CHECKPOINT)
    assert quick("export", out, "--pick", "birth:1", *asked, "--to", tmp_path / "a").status == 0
    assert quick("export", out, "--pick", "birth:1", "--to", tmp_path / "b").status == 0
    a, b = ((tmp_path / each / "model.safetensors").read_bytes() for each in "ab")
    assert a == b


def test_forms_go_to_directories_of_their_own(quick: Evolve, out: Path) -> None:
    assert quick("export", out, "--pick", "birth:1", "--form", "json").status == 0
    assert (out / "birth-1-json" / "profile.json").exists()
    said = quick("export", out, "--pick", "birth:1", "--form", "json")
    assert_refused(said, "birth-1-json exists already")


def test_a_form_that_cannot_hold_the_profile_writes_nothing(
    quick: Evolve, out: Path, tmp_path: Path
) -> None:
    for form in (Form.LLAMA_CPP, Form.GPTQMODEL):
        to = tmp_path / form
        said = quick("export", out, "--pick", "birth:1", "--to", to, "--form", form)
        assert_refused(said, "The profile removes parts, which a recipe", "compressed-tensors")
    assert list(tmp_path.iterdir()) == []


def test_other_genomes_have_no_forms(quick: Evolve, tmp_path: Path) -> None:
    problem = Problem(sphere)

    def search() -> Genetic[Vector]:
        return Genetic(
            founders=[cases.vector(0.1)],
            operators=[GaussianMutation()],
            selection=Truncation(),
            mating=Tournament(),
            objectives=problem.objectives,
            size=2,
            pace=Steady(1),
        )

    evolve.run(Experiment("sphere", search, problem, births=1), tmp_path / "run")
    to = tmp_path / "to"
    for form in Form:
        said = quick("export", tmp_path / "run", "--pick", "birth:0", "--to", to, "--form", form)
        assert_refused(said, f"--form {form} is for compression profiles, this is a Vector; leave")
    assert not to.exists()


def test_forms_that_are_none(quick: Evolve, out: Path) -> None:
    said = quick("export", out, "--form", "onnx")
    assert said.status == 2
    assert "'onnx' is not one of" in said.err
    assert all(f"'{form}'" in said.err for form in Form)
