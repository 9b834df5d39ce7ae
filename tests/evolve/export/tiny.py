"""Tiny Llamas with a tokenizer, written as checkpoint directories."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

N_LAYERS = 3


def write_llama(
    folder: Path,
    seed: int,
    *,
    start: Path | None = None,
    tied: bool = True,
    dtype: torch.dtype = torch.bfloat16,
) -> Path:
    """A random Llama in `folder`; with `start` that one's weights plus noise."""
    config = LlamaConfig(
        vocab_size=48,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
        tie_word_embeddings=tied,
        bos_token_id=1,
        eos_token_id=2,
    )
    generator = torch.Generator().manual_seed(seed)
    model = LlamaForCausalLM(config).to(torch.float32)
    if start is not None:
        model = LlamaForCausalLM.from_pretrained(start, dtype=torch.float32)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            size = 0.02 if start is not None else 0.1
            noise = size * torch.randn(tensor.shape, generator=generator)
            ones = start is None and "norm" in name
            tensor.copy_((tensor if start is not None else float(ones)) + noise)
    model.to(dtype).save_pretrained(folder)
    words = {f"w{i}": i for i in range(48)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="w0").save_pretrained(folder)
    return folder


def write_lora(folder: Path, base: Path, seed: int) -> Path:
    """A random LoRA adapter of `base` in `folder`."""
    from peft import LoraConfig, get_peft_model

    model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj", "up_proj"])
    adapted = get_peft_model(model, config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in adapted.named_parameters():
            if "lora_" in name:
                tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))
    adapted.save_pretrained(folder)
    return folder
