from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from evolve.genomes.compression.anatomy import Part
from evolve.genomes.compression.database import Database
from evolve.genomes.compression.level import Bits
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import ProfileSpace
from fitness.divergence.body import Body, body_of
from fitness.divergence.walk import Wish, astray, walk, wishes

IDS = torch.randint(3, 64, (2, 9), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def body(space: ProfileSpace) -> Body:
    return body_of(space.anatomy, "cpu", "float32")


def test_wishes_are_what_is_not_dense(space: ProfileSpace) -> None:
    dense = CompressionProfile.dense(space)
    assert wishes(dense) == (Wish(),) * 4
    levels = dense.levels.copy()
    levels[[0, 4]] = 1
    kept = np.array([False, True, True, True])
    first, second, *others = wishes(CompressionProfile.at(space, levels, attention=kept))
    assert first == Wish((Part.ATTENTION,), ())
    assert [change[0].own for change in second.changes] == ["q_proj", "k_proj", "v_proj"]
    assert {change[2] for change in second.changes} == {Bits(3, 16)}
    assert others == [Wish(), Wish()]


def test_what_profiles_share_is_computed_once(
    body: Body, profiles: list[CompressionProfile], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: Counter[int] = Counter()
    read: Counter[tuple[str, str]] = Counter()
    step, packed = Body.step, Database.packed

    def counted_step(self: Body, block: int, *rest: object) -> torch.Tensor:
        steps[block] += 1
        return step(self, block, *rest)  # type: ignore[arg-type]

    def counted_read(self: Database, name: str, level: Bits) -> dict[str, torch.Tensor]:
        read[name, level.name] += 1
        return packed(self, name, level)

    monkeypatch.setattr(Body, "step", counted_step)
    monkeypatch.setattr(Database, "packed", counted_read)
    wanted = [wishes(each) for each in profiles[:4]]
    with torch.inference_mode():
        stems, failures = walk(body, [*wanted, wanted[0]], [body.enter(IDS)])
    assert failures == {}
    # Units 1, 9 and 15 are in blocks 0, 2 and 3 of 4 units each.
    assert steps == {0: 2, 1: 2, 2: 3, 3: 4}
    assert max(read.values()) == 1
    assert sorted(stem.members for stem in stems) == [(0, 4), (1,), (2,), (3,)]


def test_a_level_that_is_not_there_fails_who_wants_it(
    body: Body, profiles: list[CompressionProfile], small_llama: Path
) -> None:
    wanted = [wishes(each) for each in profiles[:2]]
    linear, place, _ = wanted[1][2].changes[0]
    other = Wish((), ((linear, place, Bits(8, 16)),))
    wanted[1] = (*wanted[1][:2], other, wanted[1][3])
    with torch.inference_mode():
        stems, failures = walk(body, wanted, [body.enter(IDS)])
    assert [stem.members for stem in stems] == [(0,)]
    assert "model.layers.2.self_attn.q_proj" in failures[1]
    assert "b8g16" in failures[1]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_level_that_is_no_number_is_named(
    body: Body,
    profiles: list[CompressionProfile],
    wrong: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed = Database.packed

    def spoilt(self: Database, name: str, level: Bits) -> dict[str, torch.Tensor]:
        found = packed(self, name, level)
        if name == "model.layers.2.self_attn.o_proj" and level.bits == 4:
            found["scales"] = found["scales"].clone()
            found["scales"][0, 0] = wrong
        return found

    monkeypatch.setattr(Database, "packed", spoilt)
    with torch.inference_mode():
        stems, failures = walk(body, [wishes(each) for each in profiles[:3]], [body.enter(IDS)])
    assert sorted(stem.members for stem in stems) == [(0,), (1,)]
    assert failures[2].startswith("model.layers.2.self_attn.o_proj at b4g16 has weights that are")


def test_where_states_go_astray(
    body: Body, profiles: list[CompressionProfile], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Body.step

    def spoilt(self: Body, block: int, *rest: object) -> torch.Tensor:
        return step(self, block, *rest) * (float("inf") if block == 1 else 1.0)  # type: ignore[arg-type]

    with torch.inference_mode():
        entries = [body.enter(IDS)]
        assert astray(body, wishes(profiles[0]), entries).startswith("not finite in the head")
        monkeypatch.setattr(Body, "step", spoilt)
        found = astray(body, wishes(profiles[0]), entries)
    assert found.startswith("not finite after model.layers.1 (model.layers.1.self_attn.q_proj at")
    assert "mlp.down_proj at b3g16" in found
