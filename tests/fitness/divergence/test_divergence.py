import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from evolve.errors import FitnessError
from evolve.genomes.compression.database import Database
from evolve.genomes.compression.level import Bits
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import BitGrid, ProfileSpace, ZeroGrid
from evolve.genomes.vector import Vector
from evolve.score import Score
from experiments import material
from fitness.divergence import Divergence
from fitness.divergence.body import Body
from fitness.live import loaded
from tests.contracts.fitness import FitnessContract, same
from tests.evolve.genomes.compression.families import write, write_database
from tests.fitness.test_problems import vectors


def some_tokens(n: int = 6, length: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(3, 64, (n, length))


@pytest.fixture
def fitness(space: ProfileSpace) -> Divergence:
    return Divergence(space, some_tokens(), rungs=(2, 6), top_k=8)


class TestContract(FitnessContract):
    @pytest.fixture
    def fitness(self, space: ProfileSpace) -> Divergence:
        return Divergence(space, some_tokens(), rungs=(2, 6), top_k=8, shard=4)

    @pytest.fixture
    def genomes(self, profiles: list[CompressionProfile]) -> list[CompressionProfile]:
        return profiles

    @pytest.fixture
    def misfit(self) -> Vector:
        return vectors(1)[0]


class TestContractNested(TestContract):
    @pytest.fixture
    def fitness(self, space: ProfileSpace) -> Divergence:
        return Divergence(space, some_tokens(), rungs=(2, 4, 6), top_k=8, shard=2)


class TestContractStarts(TestContract):
    @pytest.fixture
    def fitness(self, space: ProfileSpace) -> Divergence:
        return Divergence(space, some_tokens(), (1, 2, 4), starts=(5, 0, 0), top_k=8)


class TestContractFresh(TestContract):
    @pytest.fixture
    def fitness(self, space: ProfileSpace) -> Divergence:
        return Divergence(
            space, some_tokens(), rungs=(2, 3), fresh=True, top_k=0, dtype="bfloat16", kept=0
        )


def by_definition(
    space: ProfileSpace, profile: CompressionProfile, tokens: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) KL and loss of each sequence: what is shipped, loaded, in the model's own forward."""
    ids = torch.from_numpy(tokens)
    path = space.anatomy.source.path
    dense = CompressionProfile.dense(replace(space, grid=None)).express()
    with torch.inference_mode():
        p, q = (
            loaded(path, state)(input_ids=ids[:, :-1]).logits.log_softmax(-1).double()
            for state in (dense, profile.express())
        )
        kl = (p.exp() * (p - q)).sum(-1).mean(1)
        loss = cross_entropy(q.transpose(1, 2), ids[:, 1:], reduction="none").mean(1)
    return kl.numpy(), loss.numpy()


def check(space: ProfileSpace, profiles: list[CompressionProfile], tokens: np.ndarray) -> None:
    """Their full divergence is by definition, and over 512 tokens little less."""
    full = Divergence(space, tokens, top_k=0)
    for profile, score, cut in zip(
        profiles,
        full.evaluate(profiles, 0, 0),
        replace(full, top_k=512).evaluate(profiles, 0, 0),
    ):
        assert score.samples is not None
        assert cut.samples is not None
        kl, loss = by_definition(space, profile, tokens)
        np.testing.assert_allclose(score.samples[0], kl, rtol=2e-5, atol=2e-6)
        assert score.values[0] == pytest.approx(kl.mean(), rel=1e-5, abs=1e-6)
        assert score.metrics["perplexity"] == pytest.approx(np.exp(loss.mean()), rel=1e-5)
        assert (cut.samples[0] <= score.samples[0] + 1e-6).all()
        assert cut.values[0] >= 0.97 * score.values[0]


def at_random(space: ProfileSpace, n: int) -> list[CompressionProfile]:
    rng = np.random.default_rng(1)
    return [
        CompressionProfile.at(
            space,
            np.array([rng.integers(len(unit.levels)) for unit in space.units]),
            *(rng.random((2, space.n_blocks)) > (0.25 if space.depth else -1.0)),
        )
        for _ in range(n)
    ]


@pytest.fixture(scope="module")
def stories() -> np.ndarray:
    """(3, 64) tokens that stories15M writes."""
    model = loaded(
        material.base(),
        CompressionProfile.dense(ProfileSpace.of(material.base(), depth=True)).express(),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        start = torch.ones((3, 1), dtype=torch.int64)
        written: torch.Tensor = model.generate(
            start, attention_mask=start, do_sample=True, min_length=64, max_length=64, top_k=0
        )
    return written.numpy()


@pytest.mark.slow
def test_it_is_the_divergence_of_what_is_shipped(tmp_path: Path, stories: np.ndarray) -> None:
    base = material.base()
    grid = BitGrid((2, 3, 4), 32)
    place = write_database(tmp_path / "bits", base, grid)
    space = ProfileSpace.of(base, place, grid=grid, depth=True)
    check(space, at_random(space, 3), stories)


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "phi"])
def test_other_families_are_scored_as_shipped(tmp_path: Path, family: str) -> None:
    model = write(tmp_path / "model", family)
    for name, grid in (("bits", BitGrid((2, 4), 16)), ("zeros", ZeroGrid(0.5, 2, 2))):
        place = write_database(tmp_path / name, model, grid)
        space = ProfileSpace.of(model, place, grid=grid, depth=True)
        check(space, at_random(space, 2), some_tokens())


def test_any_profile_of_the_model_is_scored(
    fitness: Divergence, small_llama: Path, tmp_path: Path
) -> None:
    depth = ProfileSpace.of(small_llama, depth=True)
    dense = CompressionProfile.dense(depth)
    assert fitness.evaluate([dense], 0, 0)[0].values == (0.0,)
    other = ProfileSpace.of(write(tmp_path, "llama"), depth=True)
    score = fitness.evaluate([CompressionProfile.dense(other)], 0, 0)[0]
    assert score.error is not None
    assert score.error.startswith(f"invalid: The profile is of the model {tmp_path}")


@pytest.mark.parametrize("shard", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_company_and_the_rung_change_no_bit(
    fitness: Divergence, profiles: list[CompressionProfile], shard: int, dtype: str
) -> None:
    fitness = replace(fitness, shard=shard, dtype=dtype)
    together = fitness.evaluate(profiles, 1, 0)
    for company in ([2, 0], [4, 1, 3], [3, 3]):
        found = fitness.evaluate([profiles[i] for i in company], 1, 0)
        assert all(same(score, together[i]) for i, score in zip(company, found))
    if shard < 3:  # the first rung is whole shards, too
        low = fitness.evaluate(profiles[:1], 0, 0)[0]
        assert low.samples is not None
        assert together[0].samples is not None
        assert np.array_equal(low.samples[0], together[0].samples[0][:2])


def test_the_shard_changes_last_bits_only(
    fitness: Divergence, profiles: list[CompressionProfile]
) -> None:
    a, b = (replace(fitness, shard=n).evaluate(profiles[:1], 1, 0)[0] for n in (1, 6))
    assert a.values == pytest.approx(b.values, rel=1e-5)


def test_fresh_rungs_draw_their_own_sequences(fitness: Divergence) -> None:
    fresh = replace(fitness, rungs=(2, 4, 2, 4), fresh=True)
    drawn = [fresh.rows(rung, 5) for rung in range(4)]
    assert drawn == [fresh.rows(rung, 5) for rung in range(4)]
    assert [len(set(rows)) for rows in drawn] == [2, 4, 2, 4]
    assert drawn[0] != drawn[2] or drawn[1] != drawn[3]
    assert [fresh.rows(rung, 6) for rung in range(4)] != drawn
    assert fitness.rows(0, 5) == [0, 1]


def test_fresh_samples_are_those_of_the_drawn_sequences(
    fitness: Divergence, profiles: list[CompressionProfile]
) -> None:
    fresh = replace(fitness, rungs=(3,), fresh=True)
    [score], [whole] = fresh.evaluate(profiles[:1], 0, 3), fitness.evaluate(profiles[:1], 1, 0)
    assert score.samples is not None
    assert whole.samples is not None
    assert np.array_equal(score.samples[0], whole.samples[0][fresh.rows(0, 3)])


def test_rungs_that_begin_elsewhere_are_extended_by_none(
    fitness: Divergence, profiles: list[CompressionProfile]
) -> None:
    apart = replace(fitness, rungs=(2, 2, 4), starts=(4, 0, 0))
    assert [apart.rows(rung, 5) for rung in range(3)] == [[4, 5], [0, 1], [0, 1, 2, 3]]
    [whole] = fitness.evaluate(profiles[:1], 1, 0)
    low, high = (apart.evaluate(profiles[:1], rung, 0)[0] for rung in (0, 1))
    for score, rows in ((low, slice(4, 6)), (high, slice(0, 2))):
        assert score.samples is not None
        assert whole.samples is not None
        assert np.array_equal(score.samples[0], whole.samples[0][rows])
    assert same(apart.extend(profiles[:1], [low], 1, 0)[0], high)
    (more,) = apart.extend(profiles[:1], [high], 2, 0)
    assert more.metrics["tokens"] == 2 * 12  # of the four, two were known


def test_tokens_are_counted_as_in_a_budget(
    fitness: Divergence, profiles: list[CompressionProfile]
) -> None:
    low, high = (fitness.evaluate(profiles[:1], rung, 0) for rung in (0, 1))
    assert [score.metrics["tokens"] for score in (*low, *high)] == [2 * 12, 6 * 12]
    new, old = fitness.extend(profiles[1::-1], [None, *low], 1, 0)
    assert [score.metrics["tokens"] for score in (new, old)] == [6 * 12, 4 * 12]
    uneven = replace(fitness, shard=4).extend(profiles[:1], low, 1, 0)
    fresh = replace(fitness, fresh=True).extend(profiles[:1], low, 1, 0)
    assert [score.metrics["tokens"] for score in (*uneven, *fresh)] == [6 * 12, 6 * 12]


def test_a_level_that_is_no_number_fails_by_name(
    fitness: Divergence, profiles: list[CompressionProfile], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = fitness.evaluate(profiles[:1], 0, 0)[0]
    packed = Database.packed

    def spoilt(self: Database, name: str, level: Bits) -> dict[str, torch.Tensor]:
        found = packed(self, name, level)
        if name == "model.layers.2.self_attn.o_proj" and level.bits == 4:
            found["scales"] = found["scales"] * torch.nan
        return found

    monkeypatch.setattr(Database, "packed", spoilt)
    scored, failed = fitness.evaluate([profiles[0], profiles[2]], 0, 0)
    assert same(scored, alone)
    assert failed.error is not None
    assert failed.error.startswith("invalid: model.layers.2.self_attn.o_proj at b4g16 has weights")


def test_states_that_overflow_fail_by_block_and_level(
    fitness: Divergence, profiles: list[CompressionProfile], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Body.step

    def huge(self: Body, block: int, *rest: object) -> torch.Tensor:
        return step(self, block, *rest) * (3e38 if block == 1 else 1.0)  # type: ignore[arg-type]

    monkeypatch.setattr(Body, "step", huge)
    score = fitness.evaluate(profiles[:1], 0, 0)[0]
    assert score.error is not None
    assert score.error.startswith("invalid: The divergence is nan: its predictions are not finite")
    assert "model.layers.1.self_attn.q_proj at b3g16" in score.error


def test_it_travels_and_keeps_its_own_tokens(space: ProfileSpace) -> None:
    tokens = some_tokens()
    fitness = Divergence(space, tokens)
    fingerprint = fitness.fingerprint
    assert pickle.loads(pickle.dumps(fitness)).fingerprint == fingerprint
    tokens[0, 0] += 1
    assert fitness.fingerprint == fingerprint != Divergence(space, tokens).fingerprint


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tokens": some_tokens()[0]}, "give \\(n, length\\) integers"),
        ({"tokens": some_tokens() + 60}, "knows 0 to 63; use this model's tokenizer"),
        ({"tokens": some_tokens(length=66)}, "reads 64; cut them shorter"),
        ({"rungs": (2, 7)}, r"rungs are \(2, 7\); give numbers from 1 to 6"),
        ({"rungs": (0, 2)}, "give numbers from 1 to 6"),
        ({"rungs": (2, 2)}, "let them grow, or give fresh=True"),
        ({"rungs": (7,), "fresh": True}, "give numbers from 1 to 6"),
        ({"starts": (0,)}, r"starts are \(0,\) for the rungs \(2, 6\); give one for each"),
        ({"starts": (0, 0), "fresh": True}, "no fresh=True, which draws"),
        ({"starts": (1, 1)}, "let each end within the 6 sequences"),
        ({"starts": (-1, 0)}, "let each end within the 6 sequences"),
        ({"rungs": (2, 2), "starts": (3, 3)}, "let them grow"),
        ({"top_k": -1}, "top_k is -1; give 0 or more"),
        ({"batch": 0}, "batch is 0; give 1 or more"),
        ({"shard": 0}, "shard is 0; give 1 or more"),
        ({"threads": 0}, "threads is 0; give 1 or more"),
        ({"dtype": "float16"}, "choose one of float32, bfloat16"),
    ],
)
def test_bad_input_says_what_to_do(
    fitness: Divergence, wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(FitnessError, match=message):
        replace(fitness, **wrong)  # type: ignore[arg-type]


@pytest.mark.gpu
def test_a_gpu_agrees(fitness: Divergence, profiles: list[CompressionProfile]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    scores: list[Score] = fitness.evaluate(profiles, 1, 0)
    on_gpu = replace(fitness, gpus=1.0, shard=6)
    together = on_gpu.evaluate(profiles, 1, 0)
    for score, there in zip(scores, together):
        assert there.values == pytest.approx(score.values, rel=1e-3, abs=1e-5)
    assert same(on_gpu.evaluate(profiles[2:3], 1, 0)[0], together[2])
