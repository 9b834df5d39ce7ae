from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from operators.selection.novelty import Novelty, novelty
from tests.oracles import novelty as oracle

module = import_module("operators.selection.novelty")  # the package has the function there
CELLS = st.sampled_from([0.0, 1.0, 2.0, -3.5, 1e-3, float("nan"), float("inf")])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(n: int, d: int = 3, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d)))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_equals_the_oracle(data: st.DataObject) -> None:
    d = data.draw(st.integers(1, 3))
    rows = st.lists(st.lists(CELLS, min_size=d, max_size=d), max_size=9)
    measures = np.array(data.draw(rows), dtype=float).reshape(-1, d)
    archive = np.array(data.draw(rows), dtype=float).reshape(-1, d)
    neighbours = data.draw(st.integers(1, 20))
    found = novelty(torch.from_numpy(measures), torch.from_numpy(archive), neighbours)
    expected = oracle.novelty(measures, archive, neighbours)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("tile", [1, 40, 5000])
def test_the_tile_does_not_matter(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    measures, archive = random(60), random(45, seed=1)
    measures[7], archive[3, 0] = measures[8], torch.nan
    whole = novelty(measures, archive, 4)
    monkeypatch.setattr(module, "_TILE", tile)
    assert torch.allclose(novelty(measures, archive, 4), whole, rtol=1e-14, atol=0)
    expected = oracle.novelty(measures.numpy(), archive.numpy(), 4)
    np.testing.assert_allclose(whole.numpy(), expected, rtol=1e-13)


def test_more_rows_than_a_tile_holds() -> None:
    measures = random(700, d=2)
    expected = torch.cdist(measures, measures).sort(dim=1).values[:, 1:16].mean(1)
    assert torch.allclose(novelty(measures), expected, rtol=1e-6)


def test_copies_are_exactly_nothing_new() -> None:
    measures = torch.full((5, 4), 0.1, dtype=torch.float32)
    assert novelty(measures).tolist() == [0.0] * 5
    assert novelty(measures[:1], measures[:1]).tolist() == [0.0]
    assert novelty(measures[:1]).tolist() == [0.0]  # alone


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_any_scale(scale: float) -> None:
    measures = random(30)
    assert torch.allclose(novelty(measures * scale) / scale, novelty(measures), rtol=1e-12)


def test_the_widest_range_stays_finite() -> None:
    ends = torch.tensor([[-1.7e308], [1.7e308]], dtype=torch.float64)
    assert novelty(ends).isfinite().all()


def test_no_rows() -> None:
    assert novelty(torch.zeros(0, 2)).shape == (0,)
    assert novelty(torch.zeros(0, 2), torch.zeros(3, 2)).shape == (0,)
    assert torch.equal(novelty(random(4), random(0)), novelty(random(4)))


def test_changes_no_argument() -> None:
    measures, archive = random(9), random(5, seed=1)
    kept = measures.clone(), archive.clone()
    Novelty(3)(measures, 4, archive=archive, generator=seeded())
    assert torch.equal(measures, kept[0])
    assert torch.equal(archive, kept[1])


def test_survivors_are_the_most_novel_first() -> None:
    measures = torch.tensor([[0.0], [0.1], [5.0], [torch.nan], [0.2], [9.0]])
    selected = Novelty(neighbours=1)(measures, 6, generator=seeded())
    assert selected.indices[:2].tolist() == [2, 5]  # 4.8 and 4 from the next
    assert sorted(selected.indices[2:5].tolist()) == [0, 1, 4]
    assert int(selected.indices[5]) == 3
    seen = Novelty(neighbours=1)(
        measures, 1, archive=torch.tensor([[9.0], [9.1]]), generator=seeded()
    )
    assert seen.indices.tolist() == [2]  # 9 is in the archive


def test_equals_survive_by_the_seed_alone() -> None:
    measures = torch.zeros((30, 2))
    survive = Novelty()
    drawn = {tuple(survive(measures, 5, generator=seeded(s)).indices.tolist()) for s in range(8)}
    assert len(drawn) > 1
    assert all(len(set(rows)) == 5 for rows in drawn)
    before = torch.get_rng_state()
    one, other = (survive(measures, 5, generator=seeded()).indices for _ in range(2))
    assert torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_search_for_novelty_leaves_the_maze() -> None:
    """Deceptive: the way out of a dead end leads away from the goal (Lehman & Stanley, sec. 4).

    A point walks the unit square but not through a wall with a gap at its far end.
    """

    def goes(measures: Tensor, steps: Tensor) -> Tensor:
        there = (measures + steps).clamp(0, 1)
        crosses = (measures[:, 0] < 0.5) != (there[:, 0] < 0.5)
        blocked = crosses & ((measures[:, 1] > 0.1) | (there[:, 1] > 0.1))
        return torch.where(blocked[:, None], measures, there)

    reached = []
    for seeks_novelty in (True, False):
        generator = seeded(0)
        rows = torch.tensor([[0.4, 0.9]]).repeat(20, 1)
        archive = rows[:1]
        for _ in range(100):
            steps = 0.05 * torch.randn((20, 2), generator=generator)
            both = torch.cat([rows, goes(rows, steps)])
            if seeks_novelty:
                keep = Novelty(5)(both, 20, archive=archive, generator=generator).indices
            else:
                keep = (both - torch.tensor([0.9, 0.9])).norm(dim=1).argsort()[:20]
            rows, archive = both[keep], torch.cat([archive, both[20:]])
        reached.append(float((archive - torch.tensor([0.9, 0.9])).norm(dim=1).min()))
    assert reached[0] < 0.1
    assert reached[1] > 0.3


def test_refusals() -> None:
    with pytest.raises(ValueError, match="ndarray"):
        novelty(np.zeros((3, 2)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"measures \(3,\)"):
        novelty(torch.zeros(3))
    with pytest.raises(ValueError, match=r"measures \(3, 0\)"):
        novelty(torch.zeros(3, 0))
    with pytest.raises(ValueError, match="int64"):
        novelty(torch.zeros((3, 2), dtype=torch.int64))
    with pytest.raises(ValueError, match=r"archive \(4, 3\)"):
        novelty(torch.zeros(3, 2), torch.zeros(4, 3))
    with pytest.raises(ValueError, match="float64"):
        novelty(torch.zeros(3, 2), torch.zeros((4, 2), dtype=torch.float64))
    with pytest.raises(ValueError, match="meta"):
        novelty(torch.zeros(3, 2), torch.zeros((4, 2), device="meta"))
    with pytest.raises(ValueError, match="neighbours=0"):
        novelty(torch.zeros(3, 2), neighbours=0)
    with pytest.raises(ValueError, match="Novelty got neighbours=True"):
        Novelty(neighbours=True)
    with pytest.raises(ValueError, match="generator"):
        Novelty()(torch.zeros(3, 2), 1, generator=None)  # type: ignore[arg-type]
    for k in (0, 4, True):
        with pytest.raises(ValueError, match="survivors of 3 rows"):
            Novelty()(torch.zeros(3, 2), k, generator=seeded())


@pytest.mark.gpu
def test_the_same_on_the_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("NO GPU: novelty on CUDA was not compared with that on the CPU")
    measures, archive = random(3000), random(2000, seed=1)
    measures[5], measures[9, 1] = measures[6], torch.nan
    there = novelty(measures.cuda(), archive.cuda())
    assert there.device.type == "cuda"
    assert torch.allclose(there.cpu(), novelty(measures, archive), rtol=1e-13)
    selected = Novelty()(measures.cuda(), 100, archive=archive.cuda(), generator=seeded())
    assert selected.indices.device.type == "cuda"
