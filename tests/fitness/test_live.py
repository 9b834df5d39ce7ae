from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from evolve.errors import CheckpointError
from fitness.live import live_model, load_, loaded
from tests.fitness.tiny import save_llama, tokens, weights

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor(tokens())).logits


def test_it_is_the_checkpoint_that_transformers_loads(llama: Path) -> None:
    reference = LlamaForCausalLM.from_pretrained(llama)
    model = loaded(llama, weights(llama))
    assert torch.equal(logits(model), logits(reference))
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_one_model_a_worker_written_over(llama: Path) -> None:
    zeros = {name: torch.zeros_like(tensor) for name, tensor in weights(llama).items()}
    first = loaded(llama, weights(llama))
    before = logits(first)
    second = loaded(llama, zeros)
    assert second is first
    assert not logits(second).any()
    assert torch.equal(logits(loaded(llama, weights(llama))), before)


def test_building_draws_nothing_from_the_global_stream(llama: Path) -> None:
    before = torch.get_rng_state()
    live_model.__wrapped__(llama, "cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_arithmetic_is_float32_on_rounded_weights(llama: Path) -> None:
    rounded = {name: tensor.bfloat16() for name, tensor in weights(llama).items()}
    model = loaded(llama, rounded)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert torch.equal(model.state_dict()[EMBEDDING], rounded[EMBEDDING].float())


def test_tied_weights_by_either_name(llama: Path) -> None:
    state = weights(llama)
    reference = logits(loaded(llama, state))
    assert HEAD not in state
    by_head = {HEAD if name == EMBEDDING else name: t for name, t in state.items()}
    for same in (
        by_head,
        {**state, HEAD: state[EMBEDDING]},
        {**state, HEAD: state[EMBEDDING] + 0},
    ):
        assert torch.equal(logits(loaded(llama, same)), reference)
    with pytest.raises(CheckpointError, match=r"embed_tokens.weight and lm_head.weight differ"):
        loaded(llama, {**state, HEAD: state[EMBEDDING] + 1})


def test_untied_weights_need_both(tmp_path: Path) -> None:
    folder = save_llama(tmp_path / "untied", tied=False)
    state = weights(folder)
    loaded(folder, state)
    with pytest.raises(CheckpointError, match=r"lacks lm_head.weight; express every tensor"):
        loaded(folder, {name: state[name] for name in state if name != HEAD})


def test_a_misfit_is_named_and_nothing_is_copied(llama: Path) -> None:
    state = weights(llama)
    model = loaded(llama, state)
    norm = "model.norm.weight"
    ones = {name: torch.ones_like(tensor) for name, tensor in state.items()}
    cases = {
        "expresses ndarray": tokens(),
        "has extra that the model lacks": {**ones, "extra": torch.zeros(1)},
        r"norm.weight has shape \(3,\) in the state dict, \(16,\)": {**ones, norm: torch.ones(3)},
        "lacks model.norm.weight": {name: ones[name] for name in ones if name != norm},
        "and 16 more": {norm: ones[norm]},
    }
    for message, wrong in cases.items():
        with pytest.raises(CheckpointError, match=message):
            load_(model, wrong)
    assert torch.equal(model.state_dict()[EMBEDDING], state[EMBEDDING])


def test_generation_defaults_come_from_the_checkpoint(tmp_path: Path) -> None:
    folder = save_llama(tmp_path / "short")
    (folder / "generation_config.json").write_text('{"max_new_tokens": 5}')
    assert live_model(folder, "cpu").generation_config.max_new_tokens == 5
