import json
import math
from pathlib import Path

import numpy as np
import pytest

from experiments.benchmarks.code_search import ARMS, Outcome, larger, outcome, table, volume


def test_volume_is_in_error_and_decades() -> None:
    assert volume([(0.1, 1000.0)]) == pytest.approx(0.2 * 1.0)
    assert volume([(0.1, 1000.0), (0.2, 100.0)]) == pytest.approx(0.2 * 1 + 0.1 * 1)
    assert volume([(0.31, 10.0), (0.1, 10_000.0)]) == 0.0
    assert volume([]) == 0.0


def test_the_test_is_one_sided() -> None:
    ours = np.arange(8) / 100 + 0.5
    assert larger(ours, ours - 0.01 * np.arange(1, 9)) == pytest.approx(1 / 2**8)
    assert larger(ours - 0.01 * np.arange(1, 9), ours) == 1.0
    assert larger(ours, ours) == 1.0


def test_the_table_counts_paired_seeds() -> None:
    found = [
        Outcome(arm, seed, ((0.1 + 0.01 * i, 1000.0 + seed),), i)
        for seed in range(3)
        for i, arm in enumerate(ARMS)
    ]
    lines = table(found, 150)
    assert "150 births, 3 paired seeds; reference point: error 0.3, 10,000 parameters" in lines[0]
    assert lines[3].startswith("| ours | 0.19")
    assert "| 3 of 3 | 0.1250 | 1.0 |" in lines[4]
    assert math.isfinite(found[0].volume)


def test_a_run_that_is_known_is_not_made_again(tmp_path: Path) -> None:
    known = {"arm": "iid", "seed": 3, "points": [[0.05, 900.0]], "failed": 7}
    (tmp_path / "iid-3.json").write_text(json.dumps(known))
    assert outcome("iid", 3, 150, tmp_path) == Outcome("iid", 3, ((0.05, 900.0),), 7)
