import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from evolve.export.mergekit_yaml import _number, filters, mergekit_yaml, resolve
from evolve.genomes.layout import Cell, Kind
from evolve.genomes.merge import MergeRecipe, MergeSpace
from evolve.genomes.methods import Method
from tests.evolve.export.tiny import write_llama, write_lora


def drawn(space: MergeSpace, seed: int = 0) -> MergeRecipe:
    """A recipe whose every gene differs from its neighbours."""
    rng = np.random.default_rng(seed)
    low, high = space.box.low, space.box.high
    return space.recipe(low + (0.1 + 0.8 * rng.random(len(low))) * (high - low))


def remade(text: str, to: Path, lora_cache: Path | None = None) -> dict[str, torch.Tensor]:
    """The weights that mergekit makes of the configuration `text`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mergekit's own
        _run_mergekit(text, to, lora_cache)
    return read(to)


def _run_mergekit(text: str, to: Path, lora_cache: Path | None) -> None:
    from mergekit.config import MergeConfiguration
    from mergekit.io.tasks import LoaderCache
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    LoaderCache().loaders.clear()  # it keeps a path's old weights for ever
    options = MergeOptions(
        quiet=True,
        write_model_card=False,
        lora_merge_cache=str(lora_cache) if lora_cache else None,
        lora_merge_dtype="float32",
    )
    run_merge(MergeConfiguration.model_validate(yaml.safe_load(text)), str(to), options)


def read(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint in one file."""
    return dict(load_file(folder / "model.safetensors"))


def assert_agree(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    """max |Δ| <= 1e-6 max |w| before rounding: after it, at most one step of the dtype."""
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        other = theirs[name]
        assert tensor.dtype == other.dtype
        near = (tensor.float() - other.float()).abs() <= 1e-6 * tensor.float().abs().max()
        if tensor.dtype == torch.bfloat16:
            near |= (ordered(tensor) - ordered(other)).abs() <= 1
        assert near.all(), name


def ordered(tensor: torch.Tensor) -> torch.Tensor:
    """bfloat16 numbers as integers that count representable numbers."""
    bits = tensor.contiguous().view(torch.int16).int()
    return torch.where(bits < 0, -(bits & 0x7FFF), bits)


EXACT = [Method.LINEAR, Method.TASK_ARITHMETIC, Method.TIES, Method.BREADCRUMBS, Method.SCE,
         Method.SLERP, Method.NUSLERP, Method.MODEL_STOCK, Method.KARCHER]  # fmt: skip


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_mergekit_makes_our_weights(
    tied: list[Path], tmp_path: Path, method: Method, dtype: str
) -> None:
    experts = tied[1:3] if method.pair else tied[1:]
    recipe = drawn(MergeSpace.of(tied[0], experts, method=method, dtype=dtype))
    assert_agree(recipe.express(), remade(mergekit_yaml(recipe), tmp_path / "out"))


@pytest.mark.parametrize("method", [Method.LINEAR, Method.TIES])
@pytest.mark.parametrize(
    ("layers_per_group", "per_kind"), [(1, True), (2, True), (2, False), (9, True)]
)
def test_mergekit_reads_groups_kinds_embeddings_and_head_as_we_do(
    untied: list[Path], tmp_path: Path, method: Method, layers_per_group: int, per_kind: bool
) -> None:
    space = MergeSpace.of(
        untied[0],
        untied[1:],
        method=method,
        layers_per_group=layers_per_group,
        per_kind=per_kind,
        dtype="float32",
    )
    recipe = drawn(space, seed=layers_per_group)
    assert "lm_head.weight" in recipe.express()
    assert_agree(recipe.express(), remade(mergekit_yaml(recipe), tmp_path / "out"))


@pytest.mark.parametrize("method", [Method.DARE_TIES, Method.DARE_LINEAR, Method.DELLA])
def test_random_methods_are_accepted_and_say_that_masks_differ(
    tied: list[Path], tmp_path: Path, method: Method
) -> None:
    recipe = drawn(MergeSpace.of(tied[0], tied[1:], method=method))
    text = mergekit_yaml(recipe)
    assert "# its own generator, so it gives another sample" in text
    ours, theirs = recipe.express(), remade(text, tmp_path / "out")
    assert ours.keys() == theirs.keys()
    assert all(tensor.isfinite().all() for tensor in theirs.values())


@pytest.mark.parametrize("method", [Method.DARE_TIES, Method.DARE_LINEAR])
def test_random_methods_agree_where_nothing_is_dropped(
    tied: list[Path], tmp_path: Path, method: Method
) -> None:
    space = MergeSpace.of(
        tied[0], tied[1:], method=method, fixed={"density": 1.0}, dtype="float32"
    )
    recipe = drawn(space)
    assert_agree(recipe.express(), remade(mergekit_yaml(recipe), tmp_path / "out"))


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # PEFT's
def test_lora_experts_are_written_as_base_plus_adapter(tied: list[Path], tmp_path: Path) -> None:
    adapters = [write_lora(tmp_path / f"lora{i}", tied[0], i) for i in (1, 2)]
    space = MergeSpace.of(tied[0], [*adapters, tied[1]], method=Method.TIES, dtype="float32")
    recipe = drawn(space)
    text = mergekit_yaml(recipe)
    assert f"{tied[0]}+{adapters[0]}" in text
    assert "--lora-merge-cache CACHE --lora-merge-dtype float32" in text
    assert_agree(recipe.express(), remade(text, tmp_path / "out", tmp_path / "cache"))


def test_paths_with_mergekits_own_signs_still_name_directories(tmp_path: Path) -> None:
    base = write_llama(tmp_path / "a+b c@d", 0)
    expert = write_llama(tmp_path / 'quo"te', 1, start=base)
    recipe = drawn(MergeSpace.of(base, [expert], dtype="float32"))
    assert_agree(recipe.express(), remade(mergekit_yaml(recipe), tmp_path / "out"))


@pytest.mark.slow
def test_the_command_line_accepts_the_file(tied: list[Path], tmp_path: Path) -> None:
    recipe = drawn(MergeSpace.of(tied[0], tied[1:], method=Method.TIES))
    (tmp_path / "config.yml").write_text(mergekit_yaml(recipe), encoding="utf-8")
    tool = Path(sys.executable).with_name("mergekit-yaml")
    subprocess.run([tool, tmp_path / "config.yml", tmp_path / "out"], check=True, timeout=300)
    assert_agree(recipe.express(), read(tmp_path / "out"))


def test_names_that_words_do_not_tell_apart_become_their_own_filters() -> None:
    values = {
        Cell(0, Kind.NORM, ("h.0.LayerNorm.w", "h.0.norm.w")): 1.0,
        Cell(0, Kind.ATTENTION, ("h.0.attn.w",)): 2.0,
        Cell(0, Kind.MLP, ("h.0.mlp.w", "x.h.0.attn.w.scale")): 3.0,
    }
    entries = filters(values)
    for cell, value in values.items():
        assert {resolve(name, entries) for name in cell.tensors} == {value}


def test_one_value_everywhere_needs_no_filter(tied: list[Path]) -> None:
    text = mergekit_yaml(MergeSpace.of(tied[0], tied[1:]).uniform(weight=0.25))
    assert "filter" not in text
    assert text.count("weight: 0.25") == 4 * 3


@pytest.mark.parametrize("value", [1e-05, 1.5e-07, -1e22, 0.1, 3.0, 0.0])
def test_numbers_survive_yaml(value: float) -> None:
    read = yaml.safe_load(f"x: {_number(value)}")["x"]
    assert isinstance(read, float)
    assert read == value
