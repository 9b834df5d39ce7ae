from pathlib import Path

import numpy as np
import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaMLP

from evolve.errors import CheckpointError
from evolve.genomes.compression.anatomy import Anatomy, Part
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import ProfileSpace
from fitness.divergence.body import Body, body_of
from fitness.live import loaded
from tests.evolve.genomes.compression.families import FAMILIES, write

IDS = torch.randint(3, 64, (2, 9), generator=torch.Generator().manual_seed(0))


def through(body: Body, removed: list[tuple[Part, ...]]) -> torch.Tensor:
    """Logits of `IDS`, block by block."""
    with torch.inference_mode():
        entry = body.enter(IDS)
        hidden = entry.hidden
        for b, parts in enumerate(removed):
            hidden = body.step(b, hidden, entry.calls[b], {}, parts)
        return body.leave(IDS, hidden)


@pytest.fixture
def body(small_llama: Path) -> Body:
    return body_of(Anatomy.of(small_llama), "cpu", "float32")


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_model_whatever_the_family(tmp_path: Path, family: str) -> None:
    space = ProfileSpace.of(write(tmp_path, family), depth=True)
    body = body_of(space.anatomy, "cpu", "float32")
    with torch.inference_mode():
        assert torch.equal(through(body, [(), ()]), body.logits(IDS))
        for attention, mlp in ((0, 1), (2, 1), (3, 1), (0, 3)):
            masks = [np.array([not bits & 1, not bits & 2]) for bits in (attention, mlp)]
            profile = CompressionProfile.at(space, np.zeros(len(space.units)), *masks)
            removed = [
                tuple(part for part in Part if not profile.keeps(b, part)) for b in range(2)
            ]
            plain = loaded(space.anatomy.source.path, profile.express())
            expected = plain(input_ids=IDS, use_cache=False).logits
            assert torch.allclose(through(body, removed), expected, rtol=1e-5, atol=1e-5)


def test_what_is_removed_is_not_computed(body: Body) -> None:
    called = []
    for block in body.blocks:
        for name, module in block.named_children():
            module.register_forward_hook(lambda *_, name=name: called.append(name))
    try:
        through(body, [(Part.ATTENTION,), (Part.MLP,), tuple(Part), tuple(Part)])
    finally:
        for block in body.blocks:
            for module in block.children():
                module._forward_hooks.clear()
    assert body.idle == (True,) * 4
    linears = [name for name in called if name in ("self_attn", "mlp")]
    # A stand-in is called in a removed part's place; an idle block calls nothing.
    assert linears == ["self_attn", "mlp"] * 2
    assert called.count("input_layernorm") == 2


def test_nothing_stays_changed_after_an_error(body: Body) -> None:
    with torch.inference_mode():
        before = body.logits(IDS)
        entry = body.enter(IDS)
        wrong = {"mlp.up_proj.weight": torch.zeros((3, 3))}
        with pytest.raises(RuntimeError):
            body.step(1, entry.hidden, entry.calls[1], wrong, (Part.ATTENTION,))
        with pytest.raises(RuntimeError):
            body.leave(IDS, entry.hidden[..., :5])
        with pytest.raises(IndexError):
            body.enter(IDS + 100)
        assert torch.equal(body.logits(IDS), before)
    modules = [module for block in body.blocks for module in block.modules()]
    assert not [module for module in modules if "forward" in vars(module)]


def test_a_part_that_adds_something_of_its_own_loses_only_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = LlamaMLP.forward
    monkeypatch.setattr(LlamaMLP, "forward", lambda self, x: plain(self, x) + 1.0)
    space = ProfileSpace.of(write(tmp_path, "llama"), depth=True)
    body = body_of(space.anatomy, "cpu", "float32")
    assert body.idle == (False, False)
    nothing = np.zeros(2, bool)
    profile = CompressionProfile.at(space, np.zeros(len(space.units)), nothing, nothing)
    with torch.inference_mode():
        expected = loaded(tmp_path.resolve(), profile.express())(input_ids=IDS).logits
    assert torch.allclose(through(body, [tuple(Part)] * 2), expected, rtol=1e-5, atol=1e-5)


def test_it_is_not_the_model_that_others_write_to(body: Body, small_llama: Path) -> None:
    with torch.inference_mode():
        before = body.logits(IDS)
        space = ProfileSpace.of(small_llama, depth=True)
        dense = CompressionProfile.dense(space).express()
        loaded(small_llama.resolve(), {name: 0 * tensor for name, tensor in dense.items()})
        assert torch.equal(body.logits(IDS), before)


def test_its_dtype_is_the_arithmetic(small_llama: Path) -> None:
    body = body_of(Anatomy.of(small_llama), "cpu", "bfloat16")
    assert body.dtype == through(body, [()] * 4).dtype == torch.bfloat16


def test_a_model_that_skips_blocks_is_refused(body: Body) -> None:
    body.model.config.num_hidden_layers = 3
    try:
        with pytest.raises(CheckpointError, match="called 3 of its 4 blocks"):
            body.enter(IDS)
    finally:
        body.model.config.num_hidden_layers = 4
