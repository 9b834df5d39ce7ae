from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from evolve.errors import CheckpointError, GenomeError
from evolve.genome import digest
from evolve.genomes import merge
from evolve.genomes.layout import Kind
from evolve.genomes.merge import MergeRecipe, MergeSpace
from evolve.genomes.methods import Each, Method
from tests.contracts.genome import GenomeContract, VectorLikeContract
from tests.evolve.genomes.conftest import Family
from tests.oracles.merging import loaded

SOUPS = (Method.LINEAR, Method.TASK_ARITHMETIC, Method.DARE_LINEAR, Method.BREADCRUMBS)


def space_of(family: Family, method: Method) -> MergeSpace:
    return MergeSpace.of(family[0], family[1][: 2 if method.pair else 3], method=method)


class TestMergeRecipe(VectorLikeContract):
    @pytest.fixture
    def genomes(self, family: Family) -> list[MergeRecipe]:
        """Two of every method that has something to tune."""
        rng = np.random.default_rng(0)
        spaces = [space_of(family, method) for method in Method]
        return [s.recipe(s.box.draw(rng)) for s in spaces if s.genes for _ in range(2)]


class TestStaticMerges(GenomeContract):
    @pytest.fixture
    def genomes(self, family: Family) -> list[MergeRecipe]:
        spaces = [space_of(family, method) for method in Method]
        return [s.uniform() for s in spaces if not s.genes]


@pytest.mark.parametrize("method", [m for m in Method if m.ours or m is Method.DELLA])
def test_the_base_is_a_recipe(family: Family, method: Method) -> None:
    space = space_of(family, method)
    merged = space.base_recipe().express()
    assert all(torch.equal(merged[name], tensor) for name, tensor in loaded(space.base).items())


@pytest.mark.parametrize(
    "method", [m for m in Method if m.ours or m in (Method.DELLA, Method.SLERP, Method.NUSLERP)]
)
@pytest.mark.parametrize("i", [0, 1])
def test_each_expert_is_a_recipe(family: Family, method: Method, i: int) -> None:
    space = replace(space_of(family, method), dtype="float32")
    merged = space.expert_recipe(i).express()
    for name, tensor in loaded(space.experts[i]).items():
        torch.testing.assert_close(merged[name], tensor.float(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", SOUPS)
def test_the_soup_is_the_mean_of_the_experts(family: Family, method: Method) -> None:
    space = replace(space_of(family, method), dtype="float32")
    merged = space.soup().express()
    models = [loaded(expert) for expert in space.experts]
    for name, tensor in merged.items():
        mean = torch.stack([model[name].float() for model in models]).mean(0)
        torch.testing.assert_close(tensor, mean, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("method", "n"),
    [
        *((method, 5) for method in SOUPS),
        *((method, 5) for method in (Method.TIES, Method.DARE_TIES, Method.DELLA)),
        (Method.SLERP, 3),
        (Method.NUSLERP, 3),
        (Method.SCE, 2),
        (Method.MODEL_STOCK, 1),
        (Method.KARCHER, 1),
    ],
)
def test_founders_are_what_the_method_represents(family: Family, method: Method, n: int) -> None:
    founders = space_of(family, method).founders()
    assert len({digest(founder) for founder in founders}) == len(founders) == n


@pytest.mark.parametrize(
    ("method", "make"),
    [
        (Method.SLERP, MergeSpace.base_recipe),
        (Method.TIES, MergeSpace.soup),
        (Method.SCE, lambda space: space.expert_recipe(0)),
        (Method.KARCHER, MergeSpace.soup),
    ],
)
def test_what_it_cannot_represent_is_refused(
    family: Family, method: Method, make: Callable[[MergeSpace], MergeRecipe]
) -> None:
    with pytest.raises(GenomeError, match=f"{method.value} cannot represent"):
        make(space_of(family, method))


def test_bounds_and_fixed_values_exclude_founders(family: Family) -> None:
    narrow = MergeSpace.of(*family, method=Method.TASK_ARITHMETIC, bounds={"weight": (0.0, 0.5)})
    assert [digest(f) for f in narrow.founders()] == [
        digest(narrow.base_recipe()),
        digest(narrow.soup()),
    ]
    sparse = MergeSpace.of(*family, method=Method.DARE_LINEAR, fixed={"density": 0.5})
    assert [digest(f) for f in sparse.founders()] == [digest(sparse.base_recipe())]
    with pytest.raises(GenomeError, match="exclude expert 1; widen"):
        sparse.expert_recipe(1)


def test_genes_are_laid_out_by_cell_parameter_and_model(family: Family) -> None:
    space = MergeSpace.of(*family, method=Method.TIES)
    told = [(g.cell.group, g.cell.kind, g.parameter.name, g.model) for g in space.genes]
    assert len(told) == 2 * 3 * (3 + 3 + 1)
    assert told[:7] == [
        *((0, Kind.ATTENTION, "weight", i) for i in range(3)),
        *((0, Kind.ATTENTION, "density", i) for i in range(3)),
        (0, Kind.ATTENTION, "lambda", 0),
    ]
    assert (space.box.depth == [group for group, *_ in told]).all()


@pytest.mark.parametrize("method", Method)
def test_parameters_say_what_each_gene_says(family: Family, method: Method) -> None:
    space = space_of(family, method)
    recipe = space.recipe(space.box.draw(np.random.default_rng(0)))
    given = recipe.parameters()
    assert set(given) == set(space.base.entries)
    for gene, value in zip(space.genes, recipe.values):
        settings = given[gene.cell.tensors[-1]]
        if method is Method.NUSLERP:
            assert settings == {"weight": (1 - value, value)}
            continue
        found = settings[gene.parameter.name]
        if gene.parameter.each is Each.CELL:
            assert found == value
        elif gene.parameter.name != "epsilon":  # may give way to the density
            assert isinstance(found, tuple)
            assert found[gene.model] == value


def test_fixed_parameters_have_no_gene_but_act(family: Family) -> None:
    space = MergeSpace.of(*family, method=Method.TIES, fixed={"density": 0.5, "lambda": 2.0})
    assert {gene.parameter.name for gene in space.genes} == {"weight"}
    settings = space.uniform(weight=1.0).parameters()["model.norm.weight"]
    assert settings == {"weight": (1.0,) * 3, "density": (0.5,) * 3, "lambda": 2.0}
    free = MergeSpace.of(*family, method=Method.TIES).uniform(weight=1, density=0.5, scale=2)
    for name, tensor in space.uniform(weight=1.0).express().items():
        assert torch.equal(tensor, free.express()[name])


def test_densities_snap_to_the_grid(family: Family) -> None:
    space = MergeSpace.of(*family, method=Method.TIES, bounds={"density": (0.1, 0.9)})
    recipe = space.uniform(density=0.3)
    assert recipe.parameters()["model.norm.weight"]["density"] == (77 / 256,) * 3
    values = recipe.values.copy()
    values[[g.parameter.grid for g in space.genes]] = 0.3
    with pytest.raises(GenomeError, match=r"off the 1/256 grid"):
        MergeRecipe(space, values)
    lowest = recipe.at(space.box.low)
    assert digest(lowest.at(lowest.values)) == digest(lowest)


def test_linear_without_weight_is_the_base(family: Family) -> None:
    space = MergeSpace.of(*family, method=Method.LINEAR)
    nothing = space.recipe(np.zeros(space.box.size))
    assert digest(nothing) == digest(space.base_recipe())


def test_uniform_linear_is_task_arithmetic(family: Family) -> None:
    spaces = [
        MergeSpace.of(*family, method=method, dtype="float32")
        for method in (Method.LINEAR, Method.TASK_ARITHMETIC)
    ]
    one, two = (space.uniform(weight=0.3).express() for space in spaces)
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=1e-6)


def test_minus_zero_is_zero(family: Family) -> None:
    space = MergeSpace.of(*family, method=Method.TASK_ARITHMETIC)
    assert digest(space.recipe(-np.zeros(space.box.size))) == digest(space.base_recipe())


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (np.zeros(3), "finite values"),
        (np.full(18, 9.0), "outside"),
        (np.full(18, np.nan), "finite"),
    ],
)
def test_values_outside_are_refused(family: Family, values: np.ndarray, text: str) -> None:
    space = MergeSpace.of(*family, method=Method.TASK_ARITHMETIC)
    with pytest.raises(GenomeError, match=text):
        MergeRecipe(space, values)


def test_bad_settings_are_refused(family: Family) -> None:
    with pytest.raises(GenomeError, match="layers_per_group is 0"):
        MergeSpace.of(*family, layers_per_group=0)
    with pytest.raises(GenomeError, match="dtype is 'int8'; give one of"):
        MergeSpace.of(*family, dtype="int8")
    with pytest.raises(GenomeError, match="2 weights for 3 experts"):
        MergeSpace.of(*family).uniform(weight=(1, 2))
    with pytest.raises(GenomeError, match=r"\(4,\) values for 24 genes"):
        MergeSpace.of(*family).recipe(np.zeros(4))


def test_a_checkpoint_that_changed_is_refused(family: Family, tmp_path: Path) -> None:
    base = Path(shutil.copytree(family[0], tmp_path / "base"))
    packed = MergeSpace.of(base, family[1]).soup().pack()
    merge._space.cache_clear()
    file = base / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file)
    with pytest.raises(CheckpointError, match="the checkpoint changed"):
        MergeRecipe.unpack(packed)


def test_a_recipe_packs_what_a_person_can_read(family: Family) -> None:
    facts = MergeSpace.of(*family, method=Method.TIES).founders()[0].pack().facts
    assert facts["method"] == "ties"
    assert facts["dtype"] == "bfloat16"
    assert facts["where"] == [str(family[0]), *map(str, family[1])]


def test_the_same_recipe_elsewhere_is_the_same_individual(family: Family, tmp_path: Path) -> None:
    base = Path(shutil.copytree(family[0], tmp_path / "elsewhere"))
    here, there = MergeSpace.of(*family).soup(), MergeSpace.of(base, family[1]).soup()
    assert here.pack().facts != there.pack().facts
    assert digest(here) == digest(there)


def test_spaces_and_packing_need_no_torch(family: Family) -> None:
    code = (
        "import sys; from evolve.genomes.merge import MergeSpace\n"
        "from evolve.genome import digest\n"
        "digest(MergeSpace.of(sys.argv[1], sys.argv[2:]).soup()); print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(family[0]), *map(str, family[1])]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
