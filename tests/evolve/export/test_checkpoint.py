import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

import evolve
from evolve.errors import ExportError
from evolve.experiment import Exporter
from evolve.export.checkpoint import CheckpointExporter
from evolve.genome import digest
from evolve.genomes.merge import MergeRecipe, MergeSpace
from evolve.genomes.methods import Method
from evolve.genomes.vector import Vector
from evolve.score import Record, Score
from tests.evolve.export.test_mergekit_yaml import assert_agree, drawn, remade

STORY = {
    "Objectives": "| objective | validation | test |\n| --- | --- | --- |\n| bible | 2.1 | 2.2 |",
    "Lineage": "birth 7 (sbx) of 1 and 2",
    "Fingerprint": "seed 3, commit abc",
}


def record_of(recipe: MergeRecipe) -> Record[MergeRecipe]:
    return Record(7, recipe, digest(recipe), Score((1.0,)), parents=(1, 2), operator="sbx")


def loaded(folder: Path) -> dict[str, torch.Tensor]:
    return dict(AutoModelForCausalLM.from_pretrained(folder).state_dict())


def test_is_an_exporter() -> None:
    exporter: Exporter[MergeRecipe] = CheckpointExporter()
    assert exporter == CheckpointExporter()


@pytest.mark.parametrize("family", ["tied", "untied"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float16"])
def test_loads_as_the_weights_that_were_scored(
    family: str, dtype: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    base, *experts = request.getfixturevalue(family)
    recipe = drawn(MergeSpace.of(base, experts, method=Method.TIES, dtype=dtype))
    CheckpointExporter().export(record_of(recipe), tmp_path / "knee", STORY)
    found, wanted = loaded(tmp_path / "knee"), recipe.express()
    assert ("lm_head.weight" in wanted) == (family == "untied")
    wanted.setdefault("lm_head.weight", wanted["model.embed_tokens.weight"])
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


def test_shards_load_alike(untied: list[Path], tmp_path: Path) -> None:
    recipe = drawn(MergeSpace.of(untied[0], untied[1:]))
    CheckpointExporter(max_shard_bytes=3000).export(record_of(recipe), tmp_path / "knee", {})
    files = sorted((tmp_path / "knee").glob("*.safetensors"))
    assert len(files) > 3
    assert files[0].name == f"model-00001-of-{len(files):05d}.safetensors"
    index = json.loads((tmp_path / "knee" / "model.safetensors.index.json").read_text())
    wanted = recipe.express()
    assert index["weight_map"].keys() == wanted.keys()
    assert index["metadata"]["total_size"] == sum(t.numel() * 2 for t in wanted.values())
    found = loaded(tmp_path / "knee")
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


def test_brings_tokenizer_generation_config_and_a_plain_directory(
    tied: list[Path], tmp_path: Path
) -> None:
    recipe = drawn(MergeSpace.of(tied[0], tied[1:]))
    CheckpointExporter().export(record_of(recipe), tmp_path / "deep" / "knee", {})
    folder = tmp_path / "deep" / "knee"
    assert AutoTokenizer.from_pretrained(folder)("w3 w5")["input_ids"] == [3, 5]
    assert GenerationConfig.from_pretrained(folder).eos_token_id == 2
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    assert folder.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in folder.parent.iterdir()] == ["knee"]


def test_the_file_inside_rebuilds_it(untied: list[Path], tmp_path: Path) -> None:
    recipe = drawn(MergeSpace.of(untied[0], untied[1:], method=Method.BREADCRUMBS))
    CheckpointExporter().export(record_of(recipe), tmp_path / "knee", {})
    text = (tmp_path / "knee" / "mergekit_config.yml").read_text(encoding="utf-8")
    assert_agree(loaded(tmp_path / "knee"), remade(text, tmp_path / "out"))


def test_card_tells_the_story(tied: list[Path], tmp_path: Path) -> None:
    recipe = drawn(MergeSpace.of(tied[0], tied[1:]))
    CheckpointExporter().export(record_of(recipe), tmp_path / "knee", STORY)
    text = (tmp_path / "knee" / "README.md").read_text(encoding="utf-8")
    for heading, body in STORY.items():
        assert f"## {heading}\n\n{body}\n" in text
    assert "birth 7" in text
    assert digest(recipe)[:16] in text
    assert "not stated" in text
    assert str(tmp_path) not in text


def test_existing_target_is_refused_before_any_work(tied: list[Path], tmp_path: Path) -> None:
    recipe = drawn(MergeSpace.of(tied[0], tied[1:]))
    (tmp_path / "knee").mkdir()
    with pytest.raises(ExportError, match="exists already"):
        CheckpointExporter().export(record_of(recipe), tmp_path / "knee", {})
    assert not list((tmp_path / "knee").iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["knee"]


def test_other_genomes_are_refused(tmp_path: Path) -> None:
    exporter: Exporter[Any] = CheckpointExporter()
    record = Record(3, Vector.__new__(Vector), "0" * 64, Score((1.0,)))
    with pytest.raises(ExportError, match="Birth 3 is a Vector"):
        exporter.export(record, tmp_path / "knee", {})


@pytest.mark.parametrize("size", [0, -1])
def test_shards_of_nothing_are_refused(size: int) -> None:
    with pytest.raises(ExportError, match="max_shard_bytes"):
        CheckpointExporter(max_shard_bytes=size)


def test_a_failure_midway_leaves_nothing(
    tied: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("evolve.export.checkpoint.copy_companions", full)
    recipe = drawn(MergeSpace.of(tied[0], tied[1:]))
    with pytest.raises(ExportError, match="No space left on device"):
        CheckpointExporter().export(record_of(recipe), tmp_path / "knee", {})
    assert not list(tmp_path.iterdir())


KILLED = """
import sys, time
from pathlib import Path
from evolve.export import checkpoint
from evolve.genome import digest
from evolve.genomes.merge import MergeSpace
from evolve.score import Record, Score

real = checkpoint.copy_companions
def slow(base, folder):
    real(base, folder)
    print("midway", flush=True)
    time.sleep(600)
checkpoint.copy_companions = slow
base, expert, to = sys.argv[1:]
recipe = MergeSpace.of(base, [expert]).uniform()
record = Record(0, recipe, digest(recipe), Score((1.0,)))
checkpoint.CheckpointExporter(max_shard_bytes=4000).export(record, Path(to), {})
"""


def test_sigkill_midway_leaves_nothing_at_the_target(tied: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "knee"
    root = Path(evolve.__file__).parents[1]
    arguments = [sys.executable, "-c", KILLED, *map(str, (*tied[:2], target))]
    with subprocess.Popen(arguments, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "midway\n"
        assert list(tmp_path.glob(".knee.part-*/model-*.safetensors"))
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
    assert not target.exists()
    recipe = drawn(MergeSpace.of(tied[0], tied[1:]))
    CheckpointExporter().export(record_of(recipe), target, {})  # what is left is in nobody's way
    assert (target / "config.json").is_file()
