"""A fitness that writes into the tensors it is given changes no other candidate."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

import evolve
from evolve import Needs, Objective, Score
from evolve.engine.workers import InProcess, Job, packed
from evolve.genomes.merge import MergeRecipe, MergeSpace
from evolve.genomes.methods import Method
from evolve.genomes.vector import Box, Vector
from evolve.score import Fitness
from fitness.join import Join, checksum
from fitness.live import lent, loaded
from tests.evolve.engine.rude import Hoarder, OnState, experiment, on_model
from tests.evolve.genomes.checkpoints import write_family

BOX = Box.of(-1.0, 1.0, 3)


@dataclass(frozen=True)
class Material:
    base: Path
    experts: list[Path]
    cache: Path

    def space(self, method: Method = Method.TASK_ARITHMETIC) -> MergeSpace:
        experts = self.experts[:2] if method is Method.SLERP else self.experts
        return MergeSpace.of(self.base, list(experts), method=method)

    def hashes(self) -> dict[str, str]:
        """sha256 of every checkpoint's files and of every array in the cache."""
        files = [*self.base.parent.rglob("*"), *self.cache.rglob("*.safetensors")]
        return {
            str(file): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in files
            if file.is_file()
        }


@pytest.fixture(scope="module", params=["tied bfloat16", "untied float32"])
def material(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Material:
    """A family whose embeddings go through a merge unchanged; float32 needs no rounding."""
    tied, dtype = request.param.split()
    folder = tmp_path_factory.mktemp("family")
    base, experts = write_family(folder, tied=tied == "tied", dtype=dtype)
    return Material(base, experts, tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _own_cache(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "material" in request.fixturenames:
        found: Material = request.getfixturevalue("material")
        monkeypatch.setenv("EVOLVE_CACHE", str(found.cache))


def both(material: Material, style: str) -> tuple[Fitness[MergeRecipe], Fitness[MergeRecipe]]:
    """The polite fitness and the rude one."""
    if style == "class":
        return OnState(rude=False), OnState(rude=True)
    return on_model(material.base, is_rude=False), on_model(material.base, is_rude=True)


@pytest.mark.parametrize("style", ["class", "function"])
def test_a_rude_fitness_gives_the_run_of_a_polite_one(
    material: Material, style: str, tmp_path: Path
) -> None:
    compare(material, style, tmp_path, workers=0)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("material", ["tied bfloat16"], indirect=True)
@pytest.mark.parametrize(("style", "workers"), [("class", 2), ("function", 1)])
def test_so_it_does_on_workers(
    material: Material, style: str, workers: int, tmp_path: Path
) -> None:
    compare(material, style, tmp_path, workers=workers)


def compare(material: Material, style: str, folder: Path, workers: int) -> None:
    space = material.space()
    first = space.soup().express()
    known = checksum(first), material.hashes()
    polite, rude = both(material, style)
    runs = [
        evolve.run(experiment(space, fitness, material.cache), folder / name, workers=n)
        for name, fitness, n in (("polite", polite, 0), ("rude", rude, workers))
    ]
    assert [record.score.error for record in runs[1].records] == [None] * 24
    assert len({record.score.values for record in runs[1].records}) > 12
    assert runs[1].digest == runs[0].digest
    assert (checksum(space.soup().express()), material.hashes()) == known
    assert checksum(first) == known[0], "what was expressed before is its holder's alone"


@pytest.mark.parametrize("method", [Method.LINEAR, Method.TIES, Method.SLERP])
def test_what_is_expressed_is_its_holders_alone(material: Material, method: Method) -> None:
    recipe = material.space(method).founders()[-1]
    state = recipe.express()
    known = checksum(state), material.hashes()
    for tensor in state.values():
        tensor.mul_(-3)
        tensor.view(torch.uint8).numpy()[0] = 1
    assert checksum(state) != known[0]
    assert (checksum(recipe.express()), material.hashes()) == known


def test_a_lent_model_is_its_borrowers_alone(material: Material) -> None:
    state = material.space().soup().express()
    tokens = torch.arange(10)[None]
    with torch.no_grad():
        fresh = loaded(material.base, state)(input_ids=tokens).logits
        borrowed = lent(material.base, state)
        assert torch.equal(borrowed(input_ids=tokens).logits, fresh)
        assert len(list(borrowed.buffers())) > 0
        for tensor in [*borrowed.parameters(), *borrowed.buffers()]:
            tensor.zero_()
        borrowed.half()
        for model in (lent(material.base, state), loaded(material.base, state)):
            assert torch.equal(model(input_ids=tokens).logits, fresh)
    tied = [p.data_ptr() for p in borrowed.parameters()]
    assert len(tied) == len(set(tied)) == len(list(loaded(material.base, state).parameters()))


# --- what the driver keeps -----------------------------------------------------------------------


def test_what_a_fitness_returned_stays_as_it_was() -> None:
    """In this process a score would otherwise hold the fitness's own arrays."""
    workers = InProcess([Hoarder()])
    kept = []
    for i, x in enumerate((0.1, 0.6)):
        genome = packed(Vector(np.full(3, x), BOX))
        workers.submit(Job((i,), (1,), 1, (genome,), rung=0, seed=0))
        (outcome,) = workers.wait()
        assert outcome.answer.scores is not None
        (score,) = outcome.answer.scores
        assert score.heritage is not None
        kept.append((score, dict(score.metrics), checksum([score.samples, score.heritage])))
    for score, metrics, known in kept:
        assert score.metrics == metrics
        assert checksum([score.samples, score.heritage]) == known
    assert kept[0][2] != kept[1][2]


# --- parts of a join -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """Scores the sum of the values; `writes` into: nothing, what is expressed, the genome."""

    name: str
    writes: str = ""
    needs: Needs = field(default_factory=Needs)
    rungs: tuple[int, ...] = (1,)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return (Objective(self.name),)

    def evaluate(self, genomes: Sequence[Vector], rung: int, seed: int) -> list[Score]:
        scores = []
        for genome in genomes:
            values = genome.express()
            scores.append(Score((float(values.sum()),)))
            if self.writes:
                (genome.values if self.writes == "genome" else values)[0] = 5.0
        return scores


class Shared(Part):
    """As a `Part`, on what the parts share."""

    def score_expressed(self, expressed: np.ndarray, rung: int, seed: int) -> Score:
        total = float(expressed.sum())
        if self.writes == "permuted":
            expressed[:] = expressed[::-1].copy()
        elif self.writes:
            torch.from_numpy(expressed).data.mul_(2)
        return Score((total,))


def joined(*parts: Part) -> list[Score]:
    genomes = [Vector(np.array([x, 0.2, 0.3]), BOX) for x in (0.1, 0.6)]
    return Join(parts).evaluate(genomes, 0, 0)


@pytest.mark.parametrize(
    "parts",
    [
        (Part("a", "genome"), Part("b")),
        (Part("a", "genome"), Shared("b")),
        (Shared("a", "expressed"), Shared("b")),
        (Shared("a", "permuted"), Shared("b")),
        (Part("c"), Shared("a", "expressed"), Shared("b"), Shared("d")),
    ],
)
def test_a_part_that_writes_into_what_the_next_reads_fails(parts: tuple[Part, ...]) -> None:
    for score in joined(*parts):
        assert score.error is not None
        assert score.error.startswith("invalid: ")
        assert "wrote into the genome, or into what it expresses" in score.error
        assert "let it change a copy" in score.error


@pytest.mark.parametrize(
    "parts",
    [
        (Part("a", "expressed"), Part("b")),
        (Part("a", "expressed"), Shared("b")),
        (Part("a"), Shared("b", "expressed")),
    ],
)
def test_a_part_that_writes_into_its_own_is_scored(parts: tuple[Part, ...]) -> None:
    plain = joined(*(type(part)(part.name) for part in parts))
    assert [score.values for score in joined(*parts)] == [score.values for score in plain]
    assert all(score.error is None for score in plain)


def test_checksums_tell_values_names_and_order() -> None:
    x = np.arange(6.0)
    same = {"a": x, "b": [torch.zeros(2, dtype=torch.bfloat16)], "c": "text"}
    assert checksum(same) == checksum({**same, "a": x.copy()})
    for other in (
        {**same, "a": x[::-1]},
        {**same, "a": x.astype(np.float32)},
        {**same, "b": [torch.zeros(3, dtype=torch.bfloat16)]},
        {"z": x, "b": same["b"], "c": "text"},
    ):
        assert checksum(same) != checksum(other)
    assert checksum(np.zeros(())) != checksum(np.ones(()))
    assert checksum({"empty": np.zeros(0), "none": None}) == checksum(
        {"empty": np.zeros(0), "none": None}
    )
