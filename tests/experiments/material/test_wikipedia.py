import math
from itertools import combinations

import numpy as np
import pytest
from transformers import AutoModelForCausalLM

from evolve.errors import ExperimentError
from experiments.material import wikipedia as module
from experiments.material.measure import losses
from experiments.material.splits import windows
from experiments.material.wikipedia import wikipedia
from tests.experiments.material.conftest import or_skip


class Letters:
    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return [ord(c) for c in text]


def passages(n: int) -> list[str]:
    rng = np.random.default_rng(0)
    return ["".join(map(chr, rng.integers(65, 91, 300))) for _ in range(n)]


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(module, "SIZES", {"held_out": 2, "search": 3, "calibration": 4})


def test_sequences_are_whole_passages_with_a_boundary_before_each(small):
    texts = passages(20)
    splits = module.cut(texts, Letters())
    assert {split: rows.shape for split, rows in splits.items()} == {
        "held_out": (2, 512),
        "search": (3, 512),
        "calibration": (4, 512),
    }
    for row in np.concatenate([*splits.values()]):
        assert [*np.flatnonzero(row == module.BOUNDARY)] == [0, 301]
        first, second = (
            "".join(map(chr, row[1:301])),
            "".join(map(chr, row[302:])),
        )
        assert first in texts
        assert any(text.startswith(second) for text in texts)


def test_repeats_and_scraps_are_left_out(small):
    texts = passages(20)
    near = [text[:200] + "x" * 100 for text in texts]
    plain = module.cut(texts, Letters())
    both = module.cut([*texts, *texts, *(text[:40] for text in texts)], Letters())
    assert all((plain[split] == both[split]).all() for split in plain)
    bodies = [
        windows(row) for row in np.concatenate([*module.cut([*texts, *near], Letters()).values()])
    ]
    assert not any(one & two for one, two in combinations(bodies, 2))


def test_too_few_passages_are_refused(small):
    with pytest.raises(ExperimentError, match=r"fill 5 sequences.*at least 9"):
        module.cut(passages(10), Letters())


def test_unknown_split_is_named():
    with pytest.raises(ExperimentError, match=r"'test'.*held_out, search, calibration"):
        wikipedia("test")


@pytest.mark.slow
def test_real_passages_are_disjoint_and_read_well(fetched):
    rows = {split: or_skip(lambda split=split: wikipedia(split)) for split in module.SIZES}
    seen: set[int] = set()
    for split, table in rows.items():
        assert table.shape == (module.SIZES[split], 512)
        assert table.dtype == np.int64
        assert (table[:, 0] == 0).all()
        for row in table:
            found = windows(row)
            assert not found & seen
            seen |= found
    model = AutoModelForCausalLM.from_pretrained(fetched).eval()
    assert 20 < math.exp(losses(model, rows["search"][:3, :256]).mean()) < 40
