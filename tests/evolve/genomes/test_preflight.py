from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file

from evolve.errors import CheckpointError
from evolve.genomes import preflight
from evolve.genomes.checkpoint import read_entries
from evolve.genomes.merge import MergeSpace
from evolve.genomes.methods import Method
from tests.evolve.genomes.checkpoints import write_base
from tests.evolve.genomes.conftest import Family


@pytest.fixture
def odd(family: Family, tmp_path: Path) -> Path:
    """A copy of the first expert, to be spoilt."""
    return Path(shutil.copytree(family[1][0], tmp_path / "odd"))


def refused(base: Path, expert: Path, text: str) -> None:
    """Both sides are named, and `text` is found."""
    with pytest.raises(CheckpointError, match=text) as caught:
        preflight.check(base, [expert], Method.LINEAR)
    assert str(base) in str(caught.value)
    assert str(expert) in str(caught.value)


def rewrite(folder: Path, changed: Mapping[str, torch.Tensor | None]) -> None:
    tensors = {**load_file(folder / "model.safetensors"), **changed}
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    save_file(kept, folder / "model.safetensors")


def tokenizer(tokens: Mapping[str, int], **more: object) -> str:
    return json.dumps({"model": {"type": "BPE", "vocab": tokens, "merges": []}, **more})


def test_a_family_passes_and_only_headers_are_read(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    import safetensors

    def never(*_: object, **__: object) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr(safetensors, "safe_open", never)
    for method in set(Method) - {Method.SLERP, Method.NUSLERP}:
        preflight.check(*family, method)


@pytest.mark.parametrize(
    ("key", "value"), [("model_type", "mistral"), ("num_attention_heads", 2), ("vocab_size", 65)]
)
def test_another_architecture(family: Family, odd: Path, key: str, value: object) -> None:
    config = json.loads((odd / "config.json").read_text())
    (odd / "config.json").write_text(json.dumps({**config, key: value}))
    refused(family[0], odd, f"{key} is .* and {value!r}")


def reconfigure(folder: Path, **changed: object) -> None:
    """Writes `changed` into the config; what is None goes."""
    config = json.loads((folder / "config.json").read_text())
    kept = {key: value for key, value in {**config, **changed}.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept))


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        (
            "rope_parameters is .*10000.* and .*500000",
            {"rope_theta": 5e5, "rope_parameters": None},
        ),
        (
            "rope_parameters is .*default.* and .*linear",
            {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}},
        ),
        ("rms_norm_eps is 1e-06 .* and 1e-05", {"rms_norm_eps": 1e-5}),
        ("sliding_window is None .* and 16", {"sliding_window": 16}),
    ],
)
def test_another_position_encoding_or_norm_of_the_same_shapes(
    family: Family, odd: Path, text: str, changed: Mapping[str, object]
) -> None:
    reconfigure(odd, **changed)
    refused(family[0], odd, text)


def test_the_same_encoding_written_differently(family: Family, odd: Path) -> None:
    reconfigure(odd, rope_parameters=None, rms_norm_eps=None)  # the defaults
    preflight.check(family[0], [odd], Method.LINEAR)
    reconfigure(odd, rope_theta=10000.0, rope_scaling=None, rms_norm_eps=1e-6)  # of old files
    preflight.check(family[0], [odd], Method.LINEAR)


def test_configs_that_transformers_cannot_read_are_compared_as_written(
    family: Family, odd: Path, tmp_path: Path
) -> None:
    base = Path(shutil.copytree(family[0], tmp_path / "base"))
    for folder in (base, odd):
        reconfigure(folder, model_type="our_own", rope_parameters=None)
    preflight.check(base, [odd], Method.LINEAR)
    reconfigure(odd, rope_theta=5e5)
    refused(base, odd, "rope_theta is None in .* and 500000.0 in")


def test_a_missing_and_an_added_tensor(family: Family, odd: Path) -> None:
    rewrite(odd, {"model.norm.weight": None})
    refused(family[0], odd, r"base has the tensor model\.norm\.weight, .*odd has not")
    rewrite(odd, {"model.norm.weight": torch.zeros(24), "a": torch.zeros(1), "b": torch.zeros(1)})
    refused(family[0], odd, "odd has the tensor a and 1 more")


def test_another_shape(family: Family, odd: Path) -> None:
    rewrite(odd, {"model.embed_tokens.weight": torch.zeros(65, 24)})
    refused(family[0], odd, r"\(64, 24\) in .*\(65, 24\) in .*resize")


def test_a_head_stored_beside_tied_embeddings_is_no_mismatch(family: Family, odd: Path) -> None:
    rewrite(odd, {"lm_head.weight": torch.zeros(64, 24)})
    preflight.check(family[0], [odd], Method.LINEAR)


def test_an_untied_head_is_a_mismatch(family: Family, tmp_path: Path) -> None:
    refused(family[0], write_base(tmp_path / "untied", tied=False), "tie_word_embeddings is True")


def test_another_vocabulary(family: Family, odd: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(family[0], tmp_path / "base"))
    (base / "tokenizer.json").write_text(tokenizer({"a": 0, "b": 1}))
    preflight.check(base, [odd], Method.LINEAR)  # an expert without tokenizer files
    (odd / "tokenizer.json").write_text(tokenizer({"b": 1, "a": 0}, truncation={"max_length": 5}))
    preflight.check(base, [odd], Method.LINEAR)  # written differently, the same tokens
    (odd / "tokenizer.json").write_text(tokenizer({"a": 1, "b": 0}))
    refused(base, odd, "tokenizers of .*differ.*for example 'token a'")
    added = [{"content": "<new>", "id": 2}]
    (odd / "tokenizer.json").write_text(tokenizer({"a": 0, "b": 1}, added_tokens=added))
    refused(base, odd, "'added <new>'")
    (odd / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"odd/tokenizer\.json cannot be read"):
        preflight.check(base, [odd], Method.LINEAR)


def test_quantised_weights(family: Family, odd: Path) -> None:
    name = "model.norm.weight"
    rewrite(odd, {name: torch.ones(24).to(torch.float8_e4m3fn)})
    with pytest.raises(CheckpointError, match=rf"odd stores {re.escape(name)} quantised"):
        preflight.check(family[0], [odd], Method.LINEAR)


@pytest.mark.parametrize(
    ("method", "n", "text"),
    [
        (Method.LINEAR, 0, "1 or more"),
        (Method.SLERP, 3, "exactly 2"),
        (Method.NUSLERP, 1, "exactly 2"),
        (Method.MODEL_STOCK, 1, "2 or more"),
    ],
)
def test_the_number_of_experts(family: Family, method: Method, n: int, text: str) -> None:
    with pytest.raises(CheckpointError, match=f"{text} experts, got {n}"):
        preflight.check(family[0], family[1][:n], method)


class Disk(NamedTuple):
    free: int


def test_too_little_memory_or_disk(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOLVE_CACHE", str(tmp_path))
    monkeypatch.setattr(preflight, "_free_memory", lambda: 1000)
    with pytest.raises(CheckpointError, match="of memory"):
        preflight.check(*family, Method.LINEAR)
    monkeypatch.setattr(preflight, "_free_memory", lambda: None)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: Disk(free=0))
    with pytest.raises(CheckpointError, match=r"3 experts .*needs up to .* set EVOLVE_CACHE"):
        MergeSpace.of(*family, method=Method.LINEAR)
    MergeSpace.of(*family, method=Method.KARCHER)  # caches nothing


def test_what_is_cached_needs_no_disk(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOLVE_CACHE", str(tmp_path))
    MergeSpace.of(*family, method=Method.LINEAR).soup().express()
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: Disk(free=0))
    MergeSpace.of(*family, method=Method.LINEAR)


def test_a_failed_build_counts_as_nothing(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOLVE_CACHE", str(tmp_path))
    space = MergeSpace.of(*family, method=Method.LINEAR)
    preflight.merge_folder(space.base, space.experts).mkdir(parents=True)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: Disk(free=0))
    with pytest.raises(CheckpointError, match="needs up to"):
        MergeSpace.of(*family, method=Method.LINEAR)


def test_an_adapter_of_another_kind(family: Family, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "IA3"}))
    with pytest.raises(CheckpointError, match="type IA3; only LORA"):
        preflight.check(family[0], [tmp_path], Method.LINEAR)


def test_the_storage_dtype_is_that_of_most_elements(odd: Path) -> None:
    rewrite(odd, {"model.norm.weight": torch.zeros(24)})
    assert preflight.storage_dtype(read_entries(odd)) == "bfloat16"
