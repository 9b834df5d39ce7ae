from __future__ import annotations

import pytest
import torch

from evolve.genomes.realise.arithmetic import PIECE, Scratch, Term, merge_


def merged(base: torch.Tensor, terms: list[Term], **settings: bool | float) -> torch.Tensor:
    out = torch.full_like(base, float("nan"))
    elect, normalize = bool(settings.get("elect")), bool(settings.get("normalize"))
    scale = float(settings.get("scale", 1.0))
    scratch = Scratch(len(terms))
    merge_(out, base, terms, 0, len(base), scratch, elect=elect, normalize=normalize, scale=scale)
    return out


def test_a_weighted_sum_across_pieces() -> None:
    n = 2 * PIECE + 17
    base, one, two = torch.randn(3, n, generator=torch.Generator().manual_seed(0))
    found = merged(base, [Term(one, 0.5), Term(two, -2.0)], scale=3.0)
    torch.testing.assert_close(found, base + 3 * (0.5 * one - 2 * two))


def test_only_the_stretch_is_written() -> None:
    base, out = torch.arange(10.0), torch.zeros(10)
    merge_(out, base, [Term(torch.ones(10), 1.0)], 3, 6, Scratch(1))
    assert out.tolist() == [0, 0, 0, 4, 5, 6, 0, 0, 0, 0]


def test_no_term_leaves_the_base() -> None:
    assert torch.equal(merged(torch.arange(4.0), []), torch.arange(4.0))


def test_levels_and_drops_choose_elements() -> None:
    level = torch.tensor([0, 1, 2, 3, 255], dtype=torch.uint8)
    term = Term(torch.ones(5), 1.0, level, above=1, below=4, drop=(2,))
    assert merged(torch.zeros(5), [term]).tolist() == [0, 1, 0, 1, 0]


def test_signs_are_elected_by_weight() -> None:
    """Yadav et al. 2023, step 2: 3 - 2 > 0 elects plus, 1 - 2 < 0 minus."""
    deltas = torch.tensor([[3.0, 1.0, 0.0], [-2.0, -2.0, 0.0], [0.0, 0.0, 0.0]])
    terms = [Term(delta, weight) for delta, weight in zip(deltas, (1.0, 1.0, 5.0))]
    assert merged(torch.zeros(3), terms, elect=True).tolist() == [3, -2, 0]


@pytest.mark.parametrize(("weights", "wanted"), [((1.0, 3.0), 2.5), ((-1.0, -3.0), 2.5)])
def test_normalising_divides_by_the_weights_that_agree(
    weights: tuple[float, float], wanted: float
) -> None:
    terms = [Term(torch.tensor([value]), w) for value, w in zip((1.0, 3.0), weights)]
    assert merged(torch.zeros(1), terms, elect=True, normalize=True).tolist() == [wanted]


def test_inputs_are_not_written() -> None:
    base, delta = torch.ones(8), torch.full((8,), 2.0)
    merged(base, [Term(delta, 0.5), Term(delta, -0.1)], elect=True, normalize=True, scale=0.3)
    assert base.tolist() == [1.0] * 8
    assert delta.tolist() == [2.0] * 8
