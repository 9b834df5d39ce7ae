from __future__ import annotations

import shutil
from pathlib import Path

import torch

from evolve.genomes.merge import MergeSpace
from evolve.genomes.methods import Method
from evolve.genomes.realise.cache import flat_of
from evolve.genomes.realise.realise import in_model_order
from tests.evolve.genomes.conftest import Family
from tests.oracles.merging import loaded


def test_deltas_are_float32_differences(family: Family) -> None:
    space = MergeSpace.of(*family, method=Method.LINEAR)
    flat = flat_of(space.base, space.experts, in_model_order(space))
    base = loaded(space.base)
    for expert, delta in zip(space.experts, flat.deltas):
        theirs = loaded(expert)
        for span in flat.spans:
            wanted = theirs[span.name].float() - base[span.name].float()
            assert torch.equal(delta[span.start : span.stop], wanted.flatten())
    assert [span.stop for span in flat.spans[:-1]] == [span.start for span in flat.spans[1:]]


def test_spaces_of_the_same_models_share_one_file(family: Family) -> None:
    folders = set()
    for method in (Method.LINEAR, Method.TIES):
        for groups in (1, 2):
            space = MergeSpace.of(*family, method=method, layers_per_group=groups)
            folders.add(flat_of(space.base, space.experts, in_model_order(space)).folder)
    assert len(folders) == 1


def test_experts_equal_to_the_base_leave_nothing_to_merge(family: Family, tmp_path: Path) -> None:
    twin = Path(shutil.copytree(family[0], tmp_path / "twin"))
    for method in Method:
        space = MergeSpace.of(family[0], [twin, twin], method=method)
        merged = space.uniform(density=0.5).express()
        for name, tensor in loaded(space.base).items():
            assert torch.equal(merged[name], tensor)
