"""Our arithmetic against mergekit's, and what `express` promises."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from evolve.genomes.checkpoint import weight_files
from evolve.genomes.merge import MergeRecipe, MergeSpace
from evolve.genomes.methods import Method
from evolve.genomes.realise.levels import random_levels
from tests.evolve.genomes.checkpoints import write_family
from tests.evolve.genomes.conftest import Family
from tests.oracles.merging import loaded, merged_by_mergekit, merged_on_masks

DARE = (Method.DARE_TIES, Method.DARE_LINEAR)
EXACT = (Method.TASK_ARITHMETIC, Method.TIES, Method.BREADCRUMBS)
State = dict[str, torch.Tensor]


def drawn(space: MergeSpace, seed: int) -> MergeRecipe:
    """A random recipe; a fifth of its genes at a bound."""
    rng = np.random.default_rng(seed)
    values = space.box.draw(rng)
    ends = np.where(rng.random(len(values)) < 0.5, space.box.low, space.box.high)
    return space.recipe(np.where(rng.random(len(values)) < 0.2, ends, values))


def assert_near(ours: State, theirs: State) -> None:
    """max |difference| <= 1e-6 max |w|, tensor by tensor."""
    assert list(ours) == list(theirs)
    for name in theirs:
        assert ours[name].dtype == theirs[name].dtype == torch.float32
        limit = 1e-6 * float(theirs[name].abs().max())
        assert float((ours[name] - theirs[name]).abs().max()) <= limit, name


def assert_equal(ours: State, theirs: State) -> None:
    assert list(ours) == list(theirs)
    for name in theirs:
        assert torch.equal(ours[name], theirs[name]), name


@pytest.fixture(params=["family", "untied"])
def models(request: pytest.FixtureRequest) -> Family:
    """Tied bfloat16 with frozen embeddings, and untied float32 with everything moved."""
    found: Family = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("seed", range(4))
def test_equal_bits_where_the_order_is_kept(models: Family, method: Method, seed: int) -> None:
    space = MergeSpace.of(*models, method=method, dtype="float32")
    recipe = drawn(space, seed)
    assert_equal(recipe.express(), merged_by_mergekit(recipe))


@pytest.mark.parametrize("seed", range(6))
def test_breadcrumbs_of_any_width(models: Family, seed: int) -> None:
    """Also where density and gamma exceed 1 together, and one element decides."""
    space = MergeSpace.of(
        *models,
        method=Method.BREADCRUMBS,
        dtype="float32",
        bounds={"gamma": (0.0, 1.0), "density": (0.3, 1.0)},
    )
    recipe = drawn(space, seed)
    assert_equal(recipe.express(), merged_by_mergekit(recipe))


@pytest.mark.parametrize("seed", range(3))
def test_linear_within_a_millionth(models: Family, seed: int) -> None:
    recipe = drawn(MergeSpace.of(*models, method=Method.LINEAR, dtype="float32"), seed)
    assert_near(recipe.express(), merged_by_mergekit(recipe))


@pytest.mark.parametrize("method", DARE)
@pytest.mark.parametrize("seed", range(3))
def test_dare_on_the_same_masks(models: Family, method: Method, seed: int) -> None:
    space = MergeSpace.of(*models, method=method, dtype="float32", seed=3)
    recipe = drawn(space, seed)

    def mask(name: str, expert: int, density: float, n: int) -> torch.Tensor:
        levels = random_levels(3, f"{space.experts[expert].digest} {name}", n)
        return (levels < round(density * 256)).float()

    ours, theirs = recipe.express(), merged_on_masks(recipe, mask)
    assert_near(ours, theirs)
    for name, base in loaded(space.base).items():  # the same elements, in the same direction
        one, two = ((state[name] - base.float()) for state in (ours, theirs))
        clear = torch.maximum(one.abs(), two.abs()) > 1e-6 * float(base.float().abs().max())
        assert torch.equal(one.sign()[clear], two.sign()[clear])


@pytest.mark.parametrize("method", EXACT)
def test_more_experts_stay_within_a_millionth(tmp_path: Path, method: Method) -> None:
    base, experts = write_family(tmp_path, n=6)
    recipe = drawn(MergeSpace.of(base, experts, method=method, dtype="float32"), 0)
    assert_near(recipe.express(), merged_by_mergekit(recipe))


@pytest.mark.parametrize("method", [m for m in Method if m.ours])
def test_without_kinds_and_with_wide_groups(family: Family, method: Method) -> None:
    fine = MergeSpace.of(*family, method=method)
    coarse = MergeSpace.of(*family, method=method, layers_per_group=5, per_kind=False)
    one = fine.uniform(weight=0.4, density=0.5, gamma=3 / 256).express()
    two = coarse.uniform(weight=0.4, density=0.5, gamma=3 / 256).express()
    assert len(coarse.layout.cells) == 1
    assert_equal(one, two)


@pytest.mark.parametrize("method", Method)
def test_express_repeats_its_bits_and_leaves_global_generators_alone(
    family: Family, method: Method
) -> None:
    space = MergeSpace.of(family[0], family[1][: 2 if method.pair else 3], method=method)
    recipe = drawn(space, 1)
    first = recipe.express()
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    second = recipe.express()
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert random.getstate() == states[2]
    assert_equal(first, second)
    assert {tensor.dtype for tensor in first.values()} == {torch.bfloat16}


@pytest.mark.parametrize("method", [m for m in Method if m.ours])
def test_the_first_express_builds_what_all_recipes_read(
    family: Family, method: Method, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A founder is enough: one without densities too, and the base itself."""
    from evolve.genomes.realise import cache, levels

    monkeypatch.setenv("EVOLVE_CACHE", str(tmp_path))
    space = MergeSpace.of(*family, method=method)
    space.founders()[0].express()

    def never(*_: object) -> None:
        raise AssertionError("built later")

    monkeypatch.setattr(cache, "_subtract", never)
    monkeypatch.setattr(levels, "_rank", never)
    cache._open_flat.cache_clear()
    levels._open_levels.cache_clear()
    drawn(space, 0).express()
    MergeRecipe.unpack(drawn(space, 1).pack()).express()


def test_threads_do_not_change_bits(untied: Family) -> None:
    recipe = drawn(MergeSpace.of(*untied, method=Method.TIES), 0)
    n_threads = torch.get_num_threads()
    states = []
    for n in (1, 2):
        torch.set_num_threads(n)
        states.append(recipe.express())
    torch.set_num_threads(n_threads)
    assert_equal(*states)


@pytest.mark.parametrize("method", [*DARE, Method.DELLA])
def test_another_seed_draws_other_masks(family: Family, method: Method) -> None:
    space = MergeSpace.of(*family, method=method)
    recipe = space.uniform(weight=0.5, density=0.5)
    other = MergeRecipe(replace(space, seed=1), recipe.values)
    one, two = recipe.express(), other.express()
    name = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(one[name], two[name])


def test_frozen_tensors_are_the_bases_and_private(family: Family) -> None:
    space = MergeSpace.of(*family, method=Method.LINEAR)
    name = "model.embed_tokens.weight"
    before = loaded(space.base)[name]
    recipe = drawn(space, 0)
    first = recipe.express()
    assert torch.equal(first[name], before)
    first[name].zero_()
    first["model.norm.weight"].zero_()
    second = recipe.express()
    assert torch.equal(second[name], before)
    assert bool(second["model.norm.weight"].any())
    assert torch.equal(loaded(space.base)[name], before)


def test_frozen_tensors_are_not_cached(family: Family) -> None:
    from evolve.genomes.realise.cache import flat_of
    from evolve.genomes.realise.realise import in_model_order

    space = MergeSpace.of(*family, method=Method.LINEAR)
    flat = flat_of(space.base, space.experts, in_model_order(space))
    whole = sum(entry.size for entry in space.base.entries.values())
    embedding = space.base.entries["model.embed_tokens.weight"].size
    assert len(flat.base) == whole - embedding


def test_other_storage_and_out_dtypes(untied: Family) -> None:
    recipe = drawn(MergeSpace.of(*untied, method=Method.TIES, dtype="float32"), 0)
    exact = recipe.express()
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        word = str(dtype).removeprefix("torch.")
        rounded = MergeRecipe(replace(recipe.space, dtype=word), recipe.values).express()
        assert_equal(rounded, {name: tensor.to(dtype) for name, tensor in exact.items()})


def test_integer_buffers_are_the_bases(family: Family, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    folders = []
    for i, folder in enumerate([family[0], *family[1]]):
        copy = Path(shutil.copytree(folder, tmp_path / str(i)))
        (file,) = weight_files(copy)
        save_file({**load_file(file), "model.steps": torch.tensor([7])}, file)
        folders.append(copy)
    for method in (Method.LINEAR, Method.SCE):
        merged = drawn(MergeSpace.of(folders[0], folders[1:], method=method), 0).express()
        assert torch.equal(merged["model.steps"], torch.tensor([7]))


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_takes_the_state(tied: bool, family: Family, untied: Family) -> None:
    from transformers import AutoModelForCausalLM

    base, experts = family if tied else untied
    space = MergeSpace.of(base, experts, method=Method.TASK_ARITHMETIC, dtype="float32")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    missing, unexpected = model.load_state_dict(space.soup().express(), strict=False)
    assert (missing, unexpected) == (["lm_head.weight"] if tied else [], [])
