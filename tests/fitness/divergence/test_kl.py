import pytest
import torch

from fitness.divergence.kl import CHUNK, divergence_, target_of


def pair(t: int = 6, v: int = 40, spread: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of a dense model and of a candidate."""
    generator = torch.Generator().manual_seed(t)
    dense = spread * torch.randn((t, v), generator=generator) + 20
    return dense, dense + 0.5 * torch.randn((t, v), generator=generator)


def by_definition(dense: torch.Tensor, other: torch.Tensor, k: int = 0) -> torch.Tensor:
    """KL in float64, over k buckets of one token and one of all others."""
    p, q = (each.double().softmax(1) for each in (dense, other))
    if k:
        ids = dense.topk(k, dim=1).indices
        p, q = (
            torch.cat([each.gather(1, ids), 1 - each.gather(1, ids).sum(1, keepdim=True)], 1)
            for each in (p, q)
        )
    return (p * (p / q).log()).sum(1)


def measured(dense: torch.Tensor, other: torch.Tensor, k: int = 0) -> torch.Tensor:
    following = torch.zeros(len(dense), dtype=torch.int64)
    return divergence_(other.clone(), target_of(dense, k), following)[0]


@pytest.mark.parametrize("k", [0, 1, 7, 39, 40, 100])
def test_it_is_the_definition(k: int) -> None:
    dense, other = pair()
    expected = by_definition(dense, other, k if k < 40 else 0)
    assert torch.allclose(measured(dense, other, k).double(), expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("v", [3, 40, CHUNK // 4, CHUNK + 1])
def test_chunks_change_nothing(v: int) -> None:
    dense, other = pair(t=6, v=v)
    alone = [measured(dense[i : i + 1], other[i : i + 1], 2) for i in range(6)]
    assert torch.allclose(measured(dense, other, 2), torch.cat(alone), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("k", [0, 5])
def test_the_dense_model_is_at_0_exactly(k: int) -> None:
    dense, _ = pair(t=50, v=1000)
    assert torch.equal(measured(dense, dense, k), torch.zeros(50))


def test_a_bucket_never_adds_and_512_tokens_are_nearly_all() -> None:
    dense, other = pair(t=40, v=4000)
    full = measured(dense, other)
    coarser = [measured(dense, other, k) for k in (512, 64, 8, 1)]
    for finer, coarse in zip([full, *coarser], coarser):
        assert (coarse <= finer + 1e-6).all()
    assert 0.9 * full.mean() < coarser[0].mean() < full.mean()


def test_a_rest_of_nearly_nothing_is_not_lost() -> None:
    dense = torch.zeros((1, 30))
    dense[0, 0] = 30.0
    other = dense.clone()
    other[0, 1:] += 5.0
    expected = by_definition(dense, other).item()
    assert 0 < expected < 1e-8
    found = target_of(dense, 1)
    assert found.rest is not None
    assert found.rest.item() == pytest.approx(29 * torch.tensor(-30.0).exp().item(), rel=1e-5)
    assert measured(dense, other, 1).item() == pytest.approx(expected, abs=1e-7)
    other[0, 1:] = -1e4  # exp gives 0: the rest is as good as impossible, not NaN
    assert measured(dense, other, 1).isfinite().all()


def test_the_loss_is_cross_entropy() -> None:
    dense, other = pair()
    following = torch.arange(6) * 5
    expected = torch.nn.functional.cross_entropy(other, following, reduction="none")
    for k in (0, 7):
        _, loss = divergence_(other.clone(), target_of(dense, k), following)
        assert torch.allclose(loss, expected, rtol=1e-5)


def test_half_precision_is_read_and_left_alone() -> None:
    dense, other = (each.bfloat16() for each in pair())
    kept = other.clone()
    found = divergence_(other, target_of(dense, 7), torch.zeros(6, dtype=torch.int64))[0]
    assert torch.equal(other, kept)
    assert torch.allclose(found.double(), by_definition(dense, other, 7), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize("k", [0, 7])
def test_what_is_no_number_stays_none(k: int, wrong: float) -> None:
    dense, other = pair()
    other[2, 3] = wrong
    assert measured(dense, other, k).isfinite().tolist() == [True, True, False, True, True, True]


def test_its_size_is_8_bytes_a_kept_token() -> None:
    dense, _ = pair(t=6, v=100)
    assert target_of(dense, 10).size == 6 * (10 * 8 + 8)
    assert target_of(dense, 0).size == 6 * (100 * 4 + 4)
