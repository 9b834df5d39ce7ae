"""A search for a profile on a real model: the same run anywhere, through kills, and exported."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import evolve
from evolve import Experiment, Record, Score
from evolve.engine.run import check_window
from evolve.engine.source import load_experiment
from evolve.engine.story import story
from evolve.export.compressed import CompressedExporter
from evolve.genome import digest
from evolve.genomes.compression.profile import CompressionProfile
from evolve.search.protocol import Proposal
from evolve.streams import Stream, rng_for
from experiments.arms import Option, best_of_random, faithful, ours, solver
from experiments.compress_stories import bits, depth, size, study
from experiments.profiles import BUDGET, OFFSPRING, Mode, Study
from fitness.divergence import Divergence
from tests.evolve.engine.kills import ROOT, killed
from tests.experiments.compression_driver import small

DRIVER = [sys.executable, "-m", "tests.experiments.compression_driver"]
Arm = Callable[[Study], Experiment[CompressionProfile]]
BIRTHS = 25 + 2 + 2 * 17  # probes, founders, two generations

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> evolve.Run:
    """All births in this process; builds the level database if it is not there yet."""
    return evolve.run(small(BIRTHS), tmp_path_factory.mktemp("bits") / "run")


def test_probes_then_founders_then_children(run: evolve.Run) -> None:
    operators = [record.operator for record in run.records]
    assert operators[:27] == ["probe"] * 25 + ["promotion", "founder"]
    assert set(operators[27:]) <= {"level switch", "budget switch", "promotion"}
    assert operators[27:].count("promotion") == 2
    assert all(record.score.error is None for record in run.records)


def test_what_is_told_keeps_the_budget(run: evolve.Run) -> None:
    budget = study(Mode.BITS).budget
    assert all(budget.keeps(record.genome) for record in run.records[25:])  # type: ignore[arg-type]


@pytest.mark.ray
def test_two_workers_give_the_same_run(run: evolve.Run, tmp_path: Path, cluster: None) -> None:
    assert evolve.run(small(BIRTHS), tmp_path / "run", workers=2).digest == run.digest


def test_a_killed_driver_gives_the_same_run_and_repeats_nothing(
    run: evolve.Run, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    killed([*DRIVER, str(folder), "0", str(BIRTHS)], folder, BIRTHS, seed=3)
    resumed = evolve.run(small(BIRTHS), folder, resume=True)
    assert 0 < resumed.outcomes["driver lost"] <= OFFSPRING  # a call's profiles
    assert resumed.digest == run.digest
    assert resumed.outcomes["scored"] == run.outcomes["scored"]


def test_the_export_is_what_was_scored(run: evolve.Run, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    best, target = run.best("divergence"), tmp_path / "best"
    CompressedExporter().export(best, target, story(run, best))  # type: ignore[arg-type]
    model = AutoModelForCausalLM.from_pretrained(target)
    with torch.inference_mode():
        model(input_ids=torch.from_numpy(study(Mode.BITS).text[:1, :8]))  # unpacks the layers
    reloaded = dict(model.named_parameters())
    for name, tensor in best.genome.express().items():  # type: ignore[attr-defined]
        if name in reloaded:
            assert torch.equal(reloaded[name], tensor), name
    assert len(reloaded) > 50


# Sparsity is left out: its level database takes a minute on a fresh machine.
MODES = (Mode.BITS, Mode.DEPTH, Mode.JOINT)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("arm", [faithful, ours, solver, best_of_random])
def test_an_arm_spends_its_tokens_and_no_more(mode: Mode, arm: Arm) -> None:
    if mode is Mode.JOINT and arm in (faithful, solver):
        pytest.skip("the solver's probes are too many; EvoPress has no joint mode")
    stories = study(mode)
    made = arm(stories)
    check_window(made, 2)
    spent = tokens_of(made, told(made), stories.text.shape[1])
    assert spent <= BUDGET
    if arm is faithful and mode is not Mode.DEPTH:  # of 225 profiles none is left
        assert spent > 0.95 * BUDGET
    if arm is ours:  # what is known of promoted ones is not spent anew
        assert spent > 0.9 * BUDGET


@pytest.mark.parametrize("mode", [Mode.BITS, Mode.DEPTH])
@pytest.mark.parametrize("option", Option)
def test_an_option_alone_changes_what_it_says_within_the_budget(
    mode: Mode, option: Option
) -> None:
    stories = study(mode)
    made, plain = faithful(stories, options=[option]), faithful(stories)
    check_window(made, 2)
    assert made.name == f"{plain.name}_{option}"
    records, before = told(made), told(plain)
    assert 0.9 * BUDGET < tokens_of(made, records, stories.text.shape[1]) <= BUDGET
    assert isinstance(made.fitness, Divergence)
    assert made.fitness.fresh == (option is not Option.PAIRED)
    operators = {record.operator for record in records}
    assert ("probe" in operators) == (option is Option.WARM)
    assert ("budget switch" in operators) == (option is Option.TRADES and mode is Mode.BITS)
    if (option, mode) != (Option.TRADES, Mode.DEPTH):
        assert [record.digest for record in records] != [record.digest for record in before]


@pytest.mark.parametrize(("tokens", "finalists"), [(100_000, 0), (BUDGET, 11), (10 * BUDGET, 16)])
def test_a_small_space_plays_off_and_a_large_budget_goes_into_generations(
    tokens: int, finalists: int
) -> None:
    made = ours(study(Mode.BITS), tokens=tokens)
    n, none = divmod(made.births - 25 - 2 - finalists, 17)  # probes, founders
    assert none == 0
    assert made.fitness.rungs == ((*[2] * n, 16, 96) if finalists else (2, 16))
    assert isinstance(made.fitness, Divergence)
    screens = made.fitness.starts[:-2]
    assert set(screens) <= set(range(16, 96, 2))  # beside those of the second stage
    assert len(set(screens)) == (min(n, 40) if finalists else 0)
    spent = 25 * 512 + 2 * 4096 + n * (16 * 512 + 4096) + finalists * 20_480
    assert tokens - 12_288 < spent <= tokens


def told(made: Experiment[CompressionProfile]) -> list[Record[CompressionProfile]]:
    """The records of a run whose scores are random."""
    search, chance = made.search(), np.random.default_rng(0)
    records: list[Record[CompressionProfile]] = []
    n_told = 0
    for birth in range(made.births):
        for record in records[n_told : search.seen(birth)]:
            search.tell(record, rng_for(0, record.birth, Stream.TELL))
        n_told = max(n_told, search.seen(birth))
        p = search.ask(birth, rng_for(0, birth, Stream.ASK))
        assert isinstance(p, Proposal)
        score = Score((float(chance.random()),))
        name = digest(p.genome)
        records.append(Record(birth, p.genome, name, score, p.rung, p.parents, p.operator))
    return records


def tokens_of(
    made: Experiment[CompressionProfile],
    records: list[Record[CompressionProfile]],
    length: int,
) -> int:
    """What a run of these records costs: samples of the rung below are handed on."""
    once = {(r.digest, r.rung): r.operator for r in records}
    rungs = made.fitness.rungs
    assert isinstance(made.fitness, Divergence)
    starts = made.fitness.starts or (0,) * len(rungs)
    known = {
        (name, rung): rungs[rung - 1]
        for (name, rung), by in once.items()
        if by == "promotion" and rung and starts[rung] == starts[rung - 1]
    }
    if made.fitness.fresh:  # nothing is known
        known = {}
    return length * sum(rungs[rung] - known.get((name, rung), 0) for name, rung in once)


def test_the_plan_says_budget_tokens_and_time() -> None:
    said = "\n".join(bits().foretold())
    for part in (
        r"^model       base: 6 blocks", r"^levels      5 a unit",
        r"^tokens      512, 4,096, 24,576 ",
        r"^time        about \S+, \S+, \S+ s", r"^memory      about \S+ MB",
        r"^budget      bytes of at most [\d,]+ B$",
        r"^in all      at most 400,000 tokens, about \d+ min on one core$",
    ):  # fmt: skip
        assert re.search(part, said, re.MULTILINE), (part, said)
    assert "budget      2 attentions and 2 MLPs removed" in depth().foretold()
    front = size().foretold()
    assert front[0].startswith("model       base")
    assert front[-1].startswith("in all      at most 400,000 tokens")


def test_the_command_line_finds_each_mode() -> None:
    file = ROOT / "experiments" / "compress_stories.py"
    names = [load_experiment(file.with_name(f"{file.name}:{mode}")).name for mode in MODES]
    assert names == [f"stories15M_{mode}_ours" for mode in MODES]
    assert load_experiment(file).name == names[0]
