from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolve.errors import GenomeError
from evolve.genomes.compression.anatomy import Anatomy, Part
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import BitGrid, ProfileSpace
from fitness.divergence import latency
from fitness.divergence.body import Body
from fitness.divergence.latency import TRIES, Latencies, main, measured


class Clock:
    """Time passes only while a model works: each attention, MLP and block takes its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.slow = 0.0, TRIES
        step, logits = Body.step, Body.logits

        def timed_step(
            body: Body, block: int, hidden: Any, call: Any, weights: Mapping[str, Any],
            removed: tuple[Part, ...] = (),
        ) -> Any:  # fmt: skip
            attention = 3.0 if Part.ATTENTION not in removed else 0.0
            mlp = 5.0 + 2.0 * block if Part.MLP not in removed else 0.0
            self.pass_(attention + mlp + 1.0)
            return step(body, block, hidden, call, weights, removed)

        def timed_logits(body: Body, ids: Any) -> Any:
            self.pass_(100.0)
            return logits(body, ids)

        monkeypatch.setattr(Body, "step", timed_step)
        monkeypatch.setattr(Body, "logits", timed_logits)
        monkeypatch.setattr(latency.time, "perf_counter", lambda: self.now)

    def pass_(self, seconds: float) -> None:
        """Now and then all takes longer, as on a machine that others use."""
        self.slow = (self.slow + 1) % TRIES
        self.now += seconds * (3.0 if self.slow == 0 else 1.0)


def test_a_part_takes_what_its_block_takes_less_without_it(
    small_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anatomy = Anatomy.of(small_llama)
    assert len(anatomy.blocks) == 4
    Clock(monkeypatch)
    found = measured(anatomy, tokens=(2, 4))
    assert set(found.seconds) == set(anatomy.by_name)
    for block in anatomy.blocks:
        for part, seconds in ((Part.ATTENTION, 3.0), (Part.MLP, 8.0)):  # of 5, 7, 9, 11
            linears = block.part(part)
            times = [found.seconds[linear.name]["*"] for linear in linears]
            assert sum(times) == pytest.approx(seconds / 8)
            shares = np.array(times) / sum(times)
            sizes = np.array([linear.size for linear in linears])
            assert shares == pytest.approx(sizes / sizes.sum())
    assert found.fixed == pytest.approx((100 - 4 * 11) / 8)


def test_a_removed_part_takes_nothing_and_a_named_level_its_own(small_llama: Path) -> None:
    space = ProfileSpace(Anatomy.of(small_llama), None, BitGrid((2, 4), 8), True, True, None)
    each = {name: {"*": 1e-6} for name in space.anatomy.by_name}
    up = space.anatomy.blocks[0].mlp[0].name
    found = Latencies({**each, up: {"*": 1e-6, "b2g8": 5e-7}}, 1e-5)
    cost = found.cost(space)
    low, high = (CompressionProfile.uniform(space, bits=bits) for bits in (2, 4))
    n = len(each)
    assert (cost.unit, cost.of(high), cost.of(low)) == ("ns", 10_000 + 1000 * n, 9_500 + 1000 * n)
    masks = np.ones(4, bool), np.array([True, False, True, True])
    without = CompressionProfile.at(space, high.levels, *masks)
    assert cost.of(without) == 10_000 + 1000 * (n - len(space.anatomy.blocks[1].mlp))
    with pytest.raises(GenomeError, match=f"lacks {up} at b2g8; measure every level"):
        Latencies({**each, up: {"b4g8": 1.0}}, 0.0).cost(space)


def test_the_command_writes_what_load_reads(
    small_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new" / "latency.json"
    assert main([str(small_llama), "--out", str(file), "--length", "16"]) == 0
    said = capsys.readouterr().out
    assert said.count("us a token and block") == 2
    assert f"written to {file}" in said
    found = Latencies.load(file)
    assert set(found.seconds) == set(Anatomy.of(small_llama).by_name)
    found.save(file)
    assert Latencies.load(file) == found
    assert [each.name for each in file.parent.iterdir()] == ["latency.json"]
    assert main([str(tmp_path), "--out", str(file)]) == 1
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", json.dumps({"fixed": "x", "seconds": {}}), '{"seconds": {"a": 1}}']
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "latency.json"
    file.write_text(text)
    with pytest.raises(GenomeError, match=r"is no latency table .*expected JSON"):
        Latencies.load(file)
    with pytest.raises(GenomeError, match="is no latency table"):
        Latencies.load(tmp_path / "absent.json")
