import numpy as np

from evolve.score import Score
from fitness.nested import both, extended


def score(*samples: float) -> Score:
    return Score((float(np.mean(samples)),), samples=(np.array(samples, np.float32),))


def test_known_ones_are_carried_on_and_the_others_scored_whole() -> None:
    calls: list[tuple[str, list[int]]] = []

    def scoring(name: str, failing: int) -> object:
        def scored(some: list[int]) -> list[Score]:
            calls.append((name, list(some)))
            return [Score.failed("no") if i == failing else score(i, i) for i in some]

        return scored

    known = [None, score(7), None, score(8), score(9)]
    found = extended(
        [0, 1, 2, 3, 4],
        known,
        scoring("whole", 2),  # type: ignore[arg-type]
        scoring("rest", 3),  # type: ignore[arg-type]
        lambda low, high: score(*both(low, high)[0][0]),
    )
    assert calls == [("whole", [0, 2]), ("rest", [1, 3, 4])]
    assert [each.error for each in found] == [None, None, "no", "no", None]
    table = [found[i].samples for i in (0, 1, 4)]
    assert [[*each[0]] for each in table if each] == [[0, 0], [7, 1, 1], [9, 4, 4]]


def test_nothing_is_called_for_nobody() -> None:
    def never(some: object) -> list[Score]:
        raise AssertionError(some)

    assert extended([], [], never, never, lambda low, high: low) == []


def test_both_joins_each_objective_and_says_the_lower_ones_share() -> None:
    low = Score((0.0, 1.0), samples=(np.zeros(1, np.float32), np.ones(1, np.float32)))
    high = Score((2.0, 3.0), samples=(np.full(3, 2, np.float32), np.full(3, 3, np.float32)))
    samples, share = both(low, high)
    assert [[*each] for each in samples] == [[0, 2, 2, 2], [1, 3, 3, 3]]
    assert [each.dtype for each in samples] == [np.float32] * 2
    assert share == 0.25
