"""What ships: whole, loadable, sane, and worth merging."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from evolve.errors import ExperimentError
from experiments import material
from experiments.material import manifest, splits
from experiments.material.measure import losses

STORY = """Once upon a time, there was a little girl named Sue. Sue had a red ball. She loved to \
play with it in the park. One day, she met a boy named Tim. Tim was sad because he had no toys. \
Sue gave him her ball and they played together. They were very happy."""


@pytest.fixture(scope="module", autouse=True)
def _assembled_elsewhere(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVOLVE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="module")
def base():
    return AutoModelForCausalLM.from_pretrained(material.base(), dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(material.base())


def test_every_shipped_file_is_pinned_and_whole():
    pins = manifest.read()
    assert set(material.BASE_FILES) <= set(pins)
    paths = manifest.verified(list(pins))
    found = {f for d in manifest.SHIPPED for f in (manifest.ROOT / d).rglob("*") if f.is_file()}
    assert found == set(paths)
    assert sum(path.stat().st_size for path in paths) <= 75e6


def test_base_tells_a_story(base, tokenizer):
    ids = tokenizer("Once upon a time", return_tensors="pt").input_ids
    out = base.generate(ids, max_new_tokens=24, do_sample=False, pad_token_id=2)
    assert tokenizer.decode(out[0], skip_special_tokens=True) == (
        "Once upon a time, there was a little girl named Lily. She loved to play outside in the "
        "sunshine. One day,"
    )


def test_base_has_a_low_perplexity_on_a_story(base, tokenizer):
    ids = np.array([tokenizer(STORY).input_ids])
    assert math.exp(losses(base, ids)[0]) < 3.0  # 2.42 in float32


@pytest.mark.parametrize(
    "text",
    [STORY, "def f(x):\n    return  x + 1\t# é 黃 😀\n\n\nclass A: pass", "  led", "<0x0A>"],
)
def test_tokenizer_round_trips(tokenizer, text):
    ids = tokenizer(text).input_ids
    assert ids[0] == tokenizer.bos_token_id == 1
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_tokenizer_gives_llama_ids(tokenizer):
    assert tokenizer("Once upon a time").input_ids == [1, 9038, 2501, 263, 931]
    assert tokenizer("Hello world\n").input_ids == [1, 15043, 3186, 13]


def test_texts_have_the_promised_shapes(tokenizer):
    for split, size in splits.SIZES.items():
        texts = material.texts(split)
        assert tuple(texts) == material.DOMAINS
        for rows in texts.values():
            assert rows.shape == (size, splits.N_TOKENS + 1)
            assert rows.dtype == np.int64
            assert (rows[:, 0] == tokenizer.bos_token_id).all()
            assert (rows[:, 1:] > 2).all()
            assert rows.max() < len(tokenizer)


def test_texts_are_what_they_say(tokenizer):
    texts = {d: tokenizer.decode(t[:64].ravel()) for d, t in material.texts("test").items()}
    assert "LORD" in texts["king_james"]
    assert ":class:`" in texts["python_docs"]
    assert "self." in texts["python_source"]


def test_no_two_sequences_share_32_tokens():
    seen: set[int] = set()
    for split in material.SPLITS:
        for rows in material.texts(split).values():
            for row in rows:
                windows = splits.windows(row)
                assert not windows & seen
                seen |= windows


def test_unknown_split_is_named():
    with pytest.raises(ExperimentError, match=r"'dev'.*train, validation, test"):
        material.texts("dev")


def test_each_expert_beats_the_base_at_home_only_by_its_blocks(base):
    texts = material.texts("validation")
    before = {k: v.clone() for k, v in base.state_dict().items()}
    for domain, path in material.experts().items():
        expert = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
        after = expert.state_dict()
        assert after.keys() == before.keys()
        same = {name for name, tensor in before.items() if torch.equal(tensor, after[name])}
        assert same == {"model.embed_tokens.weight", "lm_head.weight"}
        sample = texts[domain][:4]
        assert losses(expert, sample).mean() < losses(base, sample).mean() - 1.0
        AutoTokenizer.from_pretrained(path)


def test_experts_are_assembled_once():
    first = {
        d: (p / "model.safetensors").stat().st_mtime_ns for d, p in material.experts().items()
    }
    again = {
        d: (p / "model.safetensors").stat().st_mtime_ns for d, p in material.experts().items()
    }
    assert first == again
    assert all(a != b for a, b in pairwise(material.experts().values()))
