from __future__ import annotations

import math
import re

import numpy as np
import pytest

from operators.llm.judging import LanguageJudge, MetricJudge, elo, tournament, verdict
from tests.evolve.chat.server import Asked, Behaviour, Say, serve
from tests.operators.llm.cases import rng, talk


def longer(n: int, asked: Asked) -> Behaviour:
    """A judge who likes the longer candidate, wherever it stands."""
    first, second = re.findall(r"Candidate \d:\n(.*)", asked.prompt)
    return Say(f"They differ.\n{1 if len(first) > len(second) else 2}")


def test_a_language_judge_is_asked_in_both_orders() -> None:
    with serve(longer) as server:
        judge = LanguageJudge(talk(server), "Which is longer?")
        assert judge.prefers("aaaa", "bb", rng()) == 1.0
        assert judge.prefers("aa", "bbbb", rng()) == 0.0
        assert "Which is longer?" in server.asked[0].prompt
        assert server.count == 4


@pytest.mark.parametrize("answer", ["1", "2", "The better one is ...", "0"])
def test_position_bias_and_silence_count_as_a_tie(answer: str) -> None:
    with serve(answer) as server:
        assert LanguageJudge(talk(server), "?").prefers("a", "b", rng()) == 0.5


def test_a_metric_judges_too() -> None:
    judge = MetricJudge(lambda text: math.nan if text == "x" else float(len(text)))
    assert [judge.prefers(*pair, rng()) for pair in (("aa", "b"), ("a", "bb"), ("a", "b"))] == [
        1.0,
        0.0,
        0.5,
    ]
    assert judge.prefers("x", "", rng()) == 0.0


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("1", 1.0),
        ("I prefer 1.\n**2**", 0.0),
        ("0", 0.5),
        ("1 or 2", 0.5),
        ("Candidate 10", 0.5),
        ("<think>2</think>\n1\n\n", 1.0),
        ("", 0.5),
    ],
)
def test_reads_a_verdict(answer: str, value: float) -> None:
    assert verdict(answer) == value


def test_elo_by_hand() -> None:
    assert elo(2, [(0, 1, 1.0)]) == pytest.approx((1216.0, 1184.0))
    expected = 1 / (1 + 10 ** (-32 / 400))  # of the favourite in the second match
    assert elo(2, [(0, 1, 1.0), (1, 0, 1.0)])[0] == pytest.approx(1216 - 32 * expected)
    assert elo(3, [(0, 1, 0.5)], k=10) == (1200.0, 1200.0, 1200.0)


def test_ratings_keep_their_sum() -> None:
    dice = np.random.default_rng(0)
    pairs = [dice.permutation(6)[:2].tolist() for _ in range(100)]
    matches = [(i, j, float(dice.integers(3)) / 2) for i, j in pairs]
    assert sum(elo(6, matches)) == pytest.approx(6 * 1200)


def test_a_tournament_finds_the_order() -> None:
    items = ["a" * n for n in (3, 9, 1, 6, 4)]
    ratings = tournament(items, MetricJudge(len), rng(), rounds=40)
    assert sorted(range(5), key=lambda i: -ratings[i]) == [1, 3, 4, 0, 2]
    assert tournament(items, MetricJudge(len), rng(), rounds=40) == ratings
    assert tournament(["alone"], MetricJudge(len), rng(), rounds=3) == (1200.0,)
