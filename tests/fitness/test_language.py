import math
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from evolve.errors import CheckpointError, FitnessError
from evolve.genomes.vector import Vector
from fitness.language import LanguageLoss, fixed_sequences, perplexity, spaced
from fitness.live import live_model
from tests.contracts.fitness import FitnessContract, same
from tests.fitness.test_problems import vectors
from tests.fitness.tiny import Shifted, tokens


@pytest.fixture
def domains() -> dict[str, np.ndarray]:
    return {"prose": tokens(6, 12, seed=1), "code": tokens(6, 20, seed=2)}


class TestContract(FitnessContract):
    @pytest.fixture
    def fitness(self, llama: Path, domains: dict[str, np.ndarray]) -> LanguageLoss:
        return LanguageLoss(llama, domains, rungs=(2, 6), batch_size=2)

    @pytest.fixture
    def genomes(self, shifted: list[Shifted]) -> list[Shifted]:
        return shifted

    @pytest.fixture
    def misfit(self) -> Vector:
        return vectors(1)[0]


def test_it_is_the_loss_of_transformers(
    llama: Path, domains: dict[str, np.ndarray], shifted: list[Shifted]
) -> None:
    fitness = LanguageLoss(llama, domains)
    score = fitness.evaluate(shifted[:1], 0, 0)[0]
    model = LlamaForCausalLM.from_pretrained(llama)
    model.load_state_dict(shifted[0].express(), strict=False)
    with torch.no_grad():
        for value, rows in zip(score.values, domains.values()):
            ids = torch.tensor(rows)
            assert value == pytest.approx(model(ids, labels=ids).loss.item(), rel=1e-6)
    assert [objective.name for objective in fitness.objectives] == ["prose", "code"]
    assert not any(objective.maximise for objective in fitness.objectives)
    assert score.metrics["perplexity_code"] == pytest.approx(math.exp(score.values[1]))
    assert score.metrics["mean_loss"] == pytest.approx(sum(score.values) / 2)


def test_samples_are_the_sequences_and_rungs_their_prefixes(
    llama: Path, domains: dict[str, np.ndarray], shifted: list[Shifted]
) -> None:
    fitness = LanguageLoss(llama, domains, rungs=(2, 6), batch_size=2)
    low, high = (fitness.evaluate(shifted[1:2], rung, 0)[0] for rung in (0, 1))
    assert low.samples is not None
    assert high.samples is not None
    for few, many, value in zip(low.samples, high.samples, high.values):
        assert (few.shape, many.shape) == ((2,), (6,))
        assert np.array_equal(few, many[:2])
        assert value == many.mean(dtype=np.float64)


def test_the_batch_size_changes_last_bits_only(
    llama: Path, domains: dict[str, np.ndarray], shifted: list[Shifted]
) -> None:
    whole = LanguageLoss(llama, domains, batch_size=6)
    a, b = (one.evaluate(shifted[:1], 0, 0)[0] for one in (whole, replace(whole, batch_size=1)))
    assert a.values == pytest.approx(b.values, rel=1e-6)


def test_each_token_meets_the_head_once(
    llama: Path, domains: dict[str, np.ndarray], shifted: list[Shifted]
) -> None:
    seen = []
    head = live_model(llama, "cpu").get_output_embeddings()
    hook = head.register_forward_hook(lambda module, args, output: seen.append(output.shape[:2]))
    LanguageLoss(llama, domains, batch_size=4).evaluate(shifted[:1], 0, 0)
    hook.remove()
    assert seen == [(4, 11), (2, 11), (4, 19), (2, 19)]


@pytest.mark.parametrize(("batch", "seen"), [(1, [1] * 4), (2, [2] * 2), (4, [4, 2])])
def test_what_was_scored_below_is_not_scored_again(
    llama: Path,
    domains: dict[str, np.ndarray],
    shifted: list[Shifted],
    batch: int,
    seen: list[int],
) -> None:
    fitness = LanguageLoss(llama, {"prose": domains["prose"]}, rungs=(2, 6), batch_size=batch)
    [low], [high] = (fitness.evaluate(shifted[:1], rung, 0) for rung in (0, 1))
    rows = []
    head = live_model(llama, "cpu").get_output_embeddings()
    hook = head.register_forward_hook(lambda module, args, output: rows.append(len(output)))
    [found] = fitness.extend(shifted[:1], [low], 1, 0)
    hook.remove()
    assert rows == seen
    assert same(found, high)


def test_weights_that_diverged_fail(llama: Path, domains: dict[str, np.ndarray]) -> None:
    fitness = LanguageLoss(llama, domains)
    nan = fitness.evaluate([Shifted(str(llama), math.nan)], 0, 0)[0]
    assert nan.error == "invalid: objective 'prose' is nan, not finite"


def test_perplexity_stays_finite() -> None:
    assert perplexity(math.log(3)) == pytest.approx(3)
    assert perplexity(1e4) == perplexity(700.0) < math.inf


def test_a_missing_tensor_is_named(llama: Path, domains: dict[str, np.ndarray]) -> None:
    missing = Shifted(str(llama), 0.0, ("model.norm.weight",))
    score = LanguageLoss(llama, domains).evaluate([missing], 0, 0)[0]
    assert score.error is not None
    assert score.error.startswith("invalid: The state dict lacks model.norm.weight")


def test_it_travels_small_and_keeps_its_own_tokens(
    llama: Path, domains: dict[str, np.ndarray], shifted: list[Shifted]
) -> None:
    fitness = LanguageLoss(llama, domains)
    fingerprint = fitness.fingerprint
    fitness.evaluate(shifted[:1], 0, 0)
    assert len(pickle.dumps(fitness)) < 3000
    assert pickle.loads(pickle.dumps(fitness)).fingerprint == fingerprint
    domains["prose"][0, 0] += 1
    assert fitness.fingerprint == fingerprint
    assert LanguageLoss(llama, domains).fingerprint != fingerprint


def test_the_architecture_is_an_absolute_path_or_a_hub_id(
    llama: Path, domains: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.chdir(llama.parent)
    relative = LanguageLoss(Path(llama.name), domains)
    monkeypatch.chdir("/")
    assert relative.architecture == llama
    assert relative.fingerprint == LanguageLoss(llama, domains).fingerprint
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(llama))
    assert LanguageLoss("some/model", domains).architecture == llama


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prose": tokens()[0]}, r"'prose' has tokens \(12,\) int64; give \(n, length\)"),
        ({"prose": tokens() * 1.0}, "float64; give"),
        ({"prose": tokens()[:, :1]}, "length 2 or more"),
        ({"prose": tokens() + 90}, "knows 0 to 95; use this model's tokenizer"),
        ({"prose": tokens() - 9}, "tokens from -9"),
        ({"prose": tokens(2, 34)}, "34 tokens, the model at .* reads 32; cut them"),
        ({"prose": tokens(2), "code": tokens(3)}, "'prose': 2, 'code': 3"),
        ({}, "have no sequences"),
        ({"prose": tokens(0)}, "rungs are"),
    ],
)
def test_wrong_domains_are_refused(
    llama: Path, wrong: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(FitnessError, match=message):
        LanguageLoss(llama, wrong)


def test_other_wrong_declarations_are_refused(llama: Path, tmp_path: Path) -> None:
    for rungs in ((0, 3), (3, 3), (2, 7)):
        with pytest.raises(FitnessError, match="growing numbers from 1 to 6"):
            LanguageLoss(llama, {"prose": tokens()}, rungs=rungs)
    with pytest.raises(FitnessError, match="batch_size is 0"):
        LanguageLoss(llama, {"prose": tokens()}, batch_size=0)
    with pytest.raises(CheckpointError, match=r"config.json cannot be read"):
        LanguageLoss(tmp_path, {"prose": tokens()})


def test_sequences_are_spaced_over_the_text() -> None:
    rows = spaced(np.arange(103), length=10, n=3)
    assert rows[:, 0].tolist() == [0, 30, 60]
    assert (np.diff(rows) == 1).all()
    assert spaced(np.arange(103), 10, 10).tolist() == np.arange(100).reshape(10, 10).tolist()
    for n in (0, 11):
        with pytest.raises(FitnessError, match="ask for 1 to 10"):
            spaced(np.arange(103), 10, n)


def test_sequences_of_a_text(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: i for i, word in enumerate(["in", "the", "beginning", "was", "word"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="in"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(tmp_path)
    rows = fixed_sequences("in the beginning was the word " * 4, tmp_path, length=6, n=2)
    assert rows.dtype == np.int32
    assert rows.tolist() == [[0, 1, 2, 3, 1, 4]] * 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_agrees(
    llama: Path, domains: dict[str, np.ndarray], shifted: list[Shifted]
) -> None:
    fitness = LanguageLoss(llama, domains)
    there = replace(fitness, gpus=1.0)
    a, b = (one.evaluate(shifted[:1], 0, 0)[0] for one in (fitness, there))
    assert a.values == pytest.approx(b.values, rel=1e-5)
    assert there.needs.gpus == 1.0


@pytest.mark.slow
def test_the_real_model_has_the_loss_of_transformers() -> None:
    from safetensors.torch import load_file

    from experiments import material

    base, domains = material.base(), material.texts("validation")
    few = {name: rows[:4] for name, rows in domains.items()}
    fitness = LanguageLoss(base, few)
    score = fitness.score_expressed(load_file(base / "model.safetensors"), 0, 0)
    model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.no_grad():
        for value, rows in zip(score.values, few.values()):
            ids = torch.tensor(rows)
            assert value == pytest.approx(model(ids, labels=ids).loss.item(), abs=1e-6)
