from pathlib import Path

import pytest
import torch

from evolve.errors import FitnessError
from evolve.genomes.compression.anatomy import Anatomy
from fitness.divergence.body import Body, body_of
from fitness.divergence.targets import Targets, targets_of

IDS = torch.randint(3, 64, (4, 9), generator=torch.Generator().manual_seed(0))
SIZE = 9 * (8 * 8 + 8)  # bytes of one, of 8 tokens


@pytest.fixture
def body(small_llama: Path) -> Body:
    return body_of(Anatomy.of(small_llama), "cpu", "float32")


@torch.inference_mode()
def test_it_keeps_the_last_used_within_its_bytes(
    body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = []
    logits = Body.logits

    def noted(self: Body, ids: torch.Tensor) -> torch.Tensor:
        run.append(ids[0, 0].item())
        return logits(self, ids)

    monkeypatch.setattr(Body, "logits", noted)
    known = Targets(top_k=8, limit=2 * SIZE)
    for row in (0, 1, 0, 2, 0, 1):
        known.of(row, IDS[row], body)
        assert known.size <= 2 * SIZE
    assert run == [IDS[row, 0].item() for row in (0, 1, 2, 1)]


@torch.inference_mode()
def test_one_is_kept_however_little_there_is_room(body: Body) -> None:
    known = Targets(top_k=8, limit=0)
    assert known.of(0, IDS[0], body) is known.of(0, IDS[0], body)
    assert known.size == SIZE


@torch.inference_mode()
def test_a_dense_model_that_predicts_no_numbers_is_an_error(
    body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Body, "logits", lambda self, ids: torch.full((1, 9, 64), torch.nan))
    with pytest.raises(FitnessError, match="dense model's predictions of sequence 3 are not fin"):
        Targets(8, 1000).of(3, IDS[3], body)


def test_a_worker_has_one_for_a_text() -> None:
    assert targets_of("a", "cpu", "float32", 8, 100) is targets_of("a", "cpu", "float32", 8, 100)
    assert targets_of("a", "cpu", "float32", 8, 100) is not targets_of("b", "cpu", "float32", 8, 1)
