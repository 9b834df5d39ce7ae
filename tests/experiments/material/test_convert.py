import struct

import pytest
import torch

from evolve.errors import CheckpointError
from experiments.material import convert


def rotate_pairs(x, angles):
    """llama2.c: (2i, 2i + 1) turn together."""
    a, b = x[0::2], x[1::2]
    out = torch.empty_like(x)
    out[0::2] = a * angles.cos() - b * angles.sin()
    out[1::2] = a * angles.sin() + b * angles.cos()
    return out


def rotate_halves(x, angles):
    """Hugging Face: (i, i + d/2) turn together."""
    a, b = x.chunk(2)
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()])


def test_halves_keep_attention_scores():
    generator = torch.Generator().manual_seed(0)
    wq, wk = torch.randn(2, 1, 16, 5, generator=generator)
    x, y = torch.randn(2, 5, generator=generator)
    at_x, at_y = torch.rand(2, 4, generator=generator)
    hq, hk = convert.halves(wq, 2)[0], convert.halves(wk, 2)[0]
    for head in (slice(0, 8), slice(8, 16)):
        expected = rotate_pairs(wq[0, head] @ x, at_x) @ rotate_pairs(wk[0, head] @ y, at_y)
        found = rotate_halves(hq[head] @ x, at_x) @ rotate_halves(hk[head] @ y, at_y)
        torch.testing.assert_close(found, expected)


def test_pieces_get_their_spaces_and_bytes_back():
    raw = [
        b"<unk>",
        b"\n<s>\n",
        b"\n</s>\n",
        *(bytes([i]) for i in range(256)),
        b" the",
        b"\n\xc3\xa9",
    ]
    blob = struct.pack("<i", 9)
    for i, piece in enumerate(raw):
        blob += struct.pack("<fi", -float(i), len(piece)) + piece
    pieces, scores = convert.read_pieces(blob)
    assert pieces[:4] == ["<unk>", "<s>", "</s>", "<0x00>"]
    assert pieces[258:] == ["<0xFF>", "▁the", "\né"]
    assert scores[259:] == [-259.0, -260.0]
    assert len(scores) == len(pieces)


def test_another_format_is_refused():
    header = struct.pack("<7i", 8, 16, 1, 2, 2, 10, 4)
    n = 10 * 8 + 8 * 3 + 4 * 64 + 3 * 128 + 4 * 4
    assert convert.read_model(header + bytes(4 * n)).config.num_hidden_layers == 1
    with pytest.raises(CheckpointError, match="expected 16 rotary"):
        convert.read_model(header + bytes(4 * (n + 80)))
