"""stories15M from llama2.c's formats to a Hugging Face Llama directory in bfloat16.

Knows llama2.c's `model.bin` (version 0: seven int32, then float32 tensors) and `tokenizer.bin`.
Source: github.com/karpathy/llama2.c, export.py and tokenizer.py of July 2023 (MIT).
"""

import json
import struct
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from evolve.errors import CheckpointError

N_MODEL_BYTES = 60_816_028  # llama2.data is model.bin followed by tokenizer.bin
UNK, BOS, EOS = "<unk>", "<s>", "</s>"
FIRST_PIECE = 259  # 3 special tokens, 256 bytes, then the pieces


def convert(data: Path, out: Path) -> None:
    """Writes the model and its tokenizer to the directory `out`."""
    blob = data.read_bytes()
    model = read_model(blob[:N_MODEL_BYTES])
    model.save_pretrained(out)
    write_tokenizer(blob[N_MODEL_BYTES:], out)


def read_model(blob: bytes) -> LlamaForCausalLM:
    """The model in bfloat16, from the bytes of a `model.bin`."""
    dim, hidden, n_layers, n_heads, n_kv_heads, n_vocab, context = struct.unpack("<7i", blob[:28])
    config = LlamaConfig(
        vocab_size=n_vocab,  # positive in the header: the head is tied to the embedding
        hidden_size=dim,
        intermediate_size=hidden,
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        num_key_value_heads=n_kv_heads,
        max_position_embeddings=context,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        dtype=torch.bfloat16,
    )
    flat, position = np.frombuffer(blob, "<f4", offset=28), 0

    def take(*shape: int) -> torch.Tensor:
        nonlocal position
        start, position = position, position + int(np.prod(shape))
        return torch.from_numpy(flat[start:position].reshape(shape).copy())

    n_kv = dim // n_heads * n_kv_heads
    state = {"model.embed_tokens.weight": take(n_vocab, dim)}
    stacked = {
        "input_layernorm": take(n_layers, dim),
        "self_attn.q_proj": halves(take(n_layers, dim, dim), n_heads),
        "self_attn.k_proj": halves(take(n_layers, n_kv, dim), n_kv_heads),
        "self_attn.v_proj": take(n_layers, n_kv, dim),
        "self_attn.o_proj": take(n_layers, dim, dim),
        "post_attention_layernorm": take(n_layers, dim),
        "mlp.gate_proj": take(n_layers, hidden, dim),
        "mlp.down_proj": take(n_layers, dim, hidden),
        "mlp.up_proj": take(n_layers, hidden, dim),
    }
    state["model.norm.weight"] = take(dim)
    if len(flat) - position != context * dim // n_heads:  # what is left: cosines and sines
        raise CheckpointError(
            f"model.bin has {len(flat) - position} numbers after its last tensor, expected "
            f"{context * dim // n_heads} rotary ones; it is not llama2.c's version 0."
        )
    for name, tensor in stacked.items():
        state |= {f"model.layers.{i}.{name}.weight": tensor[i] for i in range(n_layers)}
    state = {name: tensor.to(torch.bfloat16) for name, tensor in state.items()}
    model = LlamaForCausalLM(config)
    missing, unexpected = model.load_state_dict(state, strict=False, assign=True)
    if unexpected or missing != ["lm_head.weight"]:
        raise CheckpointError(f"Llama wants {missing} and does not know {unexpected}.")
    model.tie_weights()
    return model


def halves(weight: torch.Tensor, n_heads: int) -> torch.Tensor:
    """Reorders each head's rows from llama2.c's rotary pairs (2i, 2i + 1) to HF's (i, i + d/2).

    `weight`: (n_layers, n_heads * d, dim).
    """
    n_layers, rows, dim = weight.shape
    pairs = weight.view(n_layers, n_heads, rows // n_heads // 2, 2, dim)
    return pairs.transpose(2, 3).reshape(n_layers, rows, dim)


def write_tokenizer(blob: bytes, out: Path) -> None:
    """Writes `tokenizer.json` and its config: SentencePiece BPE with byte fallback."""
    pieces, scores = read_pieces(blob)
    vocab = {piece: i for i, piece in enumerate(pieces)}
    ranked = sorted(range(FIRST_PIECE, len(pieces)), key=lambda i: -scores[i])
    splits = (
        (pieces[i][:cut], pieces[i][cut:]) for i in ranked for cut in range(1, len(pieces[i]))
    )
    merges = [(left, right) for left, right in splits if left in vocab and right in vocab]
    tokenizer = Tokenizer(
        models.BPE(vocab, merges, unk_token=UNK, fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, vocab[BOS])]
    )
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in (UNK, BOS, EOS)]
    )
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # has no annotations
        tokenizer_object=tokenizer,
        unk_token=UNK,
        bos_token=BOS,
        eos_token=EOS,
        clean_up_tokenization_spaces=False,
        model_max_length=256,
    )
    fast.save_pretrained(out)
    path = out / "tokenizer.json"  # compact: the default indents 60,000 merges
    path.write_text(json.dumps(json.loads(path.read_text()), ensure_ascii=False))


def read_pieces(blob: bytes) -> tuple[list[str], list[float]]:
    """Pieces and scores of a `tokenizer.bin`, spaces as ▁ and bytes as <0xNN> again."""
    pieces, scores, offset = [UNK, BOS, EOS], [0.0, 0.0, 0.0], 4
    index = 0
    while offset < len(blob):
        score, size = struct.unpack("<fi", blob[offset : offset + 8])
        raw = blob[offset + 8 : offset + 8 + size]
        offset += 8 + size
        if index >= FIRST_PIECE:
            pieces.append(raw.decode().replace(" ", "▁"))
        elif index >= 3:
            pieces.append(f"<0x{index - 3:02X}>")
        if index >= 3:
            scores.append(score)
        index += 1
    return pieces, scores
