"""Who goes on in a race: paired per-sample statistics of the scores of one rung.

The candidates of a rung are scored on the same samples under the same seed, so that each pair
can be compared sample by sample and what makes a sample hard cancels: the blocking race of Moore
& Lee (1994, "Efficient algorithms for minimizing cross validation error"). The chance that one
beats another is Phi(t), t the paired t statistic (Student 1908) in its normal approximation; a
candidate's merit is its expected number of wins over all rivals and objectives.

Knows scores and digests; no genome, no bracket.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from evolve.score import G, Objective, Record, Score, costs, violations


def ranking(records: Sequence[Record[G]], objectives: Sequence[Objective]) -> list[int]:
    """The indices of `records` (of one rung, any order), best first.

    Feasible ones by expected wins, then infeasible ones by violation, ties by birth. A twin says
    nothing new: it comes after all that are different, a third after all second ones. Failed
    ones come last. O(n^2 s m) for n records with s samples of m objectives.
    """
    by_birth = sorted(range(len(records)), key=lambda i: records[i].birth)
    failed = [i for i in by_birth if records[i].score.error is not None]
    layers: dict[int, list[int]] = {}
    met: Counter[str] = Counter()
    for i in by_birth:
        if records[i].score.error is None:
            layers.setdefault(met[records[i].digest], []).append(i)
            met[records[i].digest] += 1
    order: list[int] = []
    for _, layer in sorted(layers.items()):
        scores = [records[i].score for i in layer]
        violation = violations(scores)
        wins = np.zeros(len(layer))
        feasible = np.flatnonzero(violation == 0)
        wins[feasible] = expected_wins([scores[i] for i in feasible], objectives)
        order += [layer[i] for i in np.lexsort((-wins, violation))]  # stable: ties by birth
    return order + failed


def expected_wins(scores: Sequence[Score], objectives: Sequence[Objective]) -> np.ndarray:
    """(n,) float64: the sum over rivals and objectives of the chance to beat them.

    Where two scores have no samples, or not equally many (two or more), or samples that are not
    finite, their values decide: 1 for a win, 1/2 for a tie, 0 for a loss. None may have failed.
    """
    table = costs(scores, objectives)
    total = np.full(len(scores), -0.5 * len(objectives))  # the diagonal: nobody is his own rival
    for m, objective in enumerate(objectives):
        value = table[:, m]
        chance = (1 + np.sign(value - value[:, None])) / 2  # [i, j]: i beats j
        rows = [None if score.samples is None else score.samples[m] for score in scores]
        sizes = np.array([0 if row is None else len(row) for row in rows])
        for size in np.unique(sizes[sizes > 1]):
            of_size = np.flatnonzero(sizes == size)
            paired = np.stack([row for row in rows if row is not None and len(row) == size])
            t = _paired(paired.astype(np.float64) * (-1 if objective.maximise else 1))
            block = np.ix_(of_size, of_size)
            chance[block] = np.where(np.isnan(t), chance[block], _normal(t))
        total += chance.sum(1)
    return np.round(total, 9)  # ties are ties in any order of summation


def _paired(samples: np.ndarray) -> np.ndarray:
    """(n, n) t statistics of `samples` (n, s) of costs: [i, j] > 0 where j costs more than i.

    Infinite for a difference that is the same on every sample; NaN where it is not finite.
    """
    n, size = samples.shape
    t = np.zeros((n, n))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        mean = samples.mean(1)
        centred = samples - mean[:, None]
        for i in range(n - 1):
            gap = centred[i + 1 :] - centred[i]
            error = np.sqrt(np.einsum("js,js->j", gap, gap) / ((size - 1) * size))
            difference = mean[i + 1 :] - mean[i]
            row = np.where((difference == 0) & (error == 0), 0.0, difference / error)
            t[i, i + 1 :] = np.where(np.isfinite(difference) & np.isfinite(error), row, np.nan)
    return t - t.T


def _normal(t: np.ndarray) -> np.ndarray:
    """The standard normal distribution function, elementwise."""
    erf = [math.erf(each / math.sqrt(2)) for each in t.ravel().tolist()]
    return (1 + np.array(erf).reshape(t.shape)) / 2


def by_mean(records: Sequence[Record[G]], objective: Objective) -> list[int]:
    """The indices of `records`, best first, by their values alone, without samples.

    Feasible, cheap, early; failed ones have infinite cost.
    """
    scores = [record.score for record in records]
    births = np.array([record.birth for record in records])
    table = costs(scores, [objective])[:, 0]
    return [int(i) for i in np.lexsort((births, table, violations(scores)))]
