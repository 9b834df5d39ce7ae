from __future__ import annotations

import inspect
from collections.abc import Callable

import evox.algorithms
import pytest
import torch
from evox.core import Algorithm
from evox.operators.sampling import uniform_sampling
from evox.operators.selection import tournament_selection_multifit
from torch import Tensor

from operators import selection
from operators.selection.decomposition import PBI
from operators.selection.moead import MOEAD as Placement
from operators.selection.rvea import Adapted
from operators.tensor import MOEAD, NSGA2, NSGA3, RVEA, Evolution, HypE, Slots, algorithms
from tests.operators.tensor.flow import Function, begun, box, dtlz, gone, same

OURS: dict[str, Callable[..., Evolution]] = {
    "NSGA3": NSGA3,
    "NSGA2": NSGA2,
    "HypE": HypE,
    "MOEAD": MOEAD,
    "RVEA": RVEA,
}
PEERS: dict[str, type[Algorithm]] = {
    "NSGA3": evox.algorithms.NSGA3,
    "NSGA2": evox.algorithms.NSGA2,
    "HypE": evox.algorithms.HypE,
    "MOEAD": evox.algorithms.MOEAD,
    "RVEA": evox.algorithms.RVEA,
}


@pytest.mark.parametrize("name", OURS)
def test_drops_in_for_evox(name: str) -> None:
    ours = list(inspect.signature(OURS[name]).parameters.values())
    peers = list(inspect.signature(PEERS[name]).parameters.values())
    assert [(p.name, p.kind, p.default) for p in ours[: len(peers)]] == [
        (p.name, p.kind, p.default) for p in peers
    ]
    assert all(p.default is not inspect.Parameter.empty for p in ours[len(peers) :])
    torch.manual_seed(0)
    one = OURS[name](91, 3, *box())
    torch.manual_seed(0)
    other = PEERS[name](91, 3, *box())
    assert torch.equal(one.pop, other.pop)
    assert one.fit.shape == other.fit.shape
    assert (one.pop_size, one.n_objs, one.dim) == (other.pop_size, other.n_objs, other.dim)
    assert torch.equal(one.lb, other.lb)
    assert torch.equal(one.ub, other.ub)


@pytest.mark.parametrize(
    ("name", "p", "generations", "igd"),
    [("NSGA3", 92, 200, 0.056), ("NSGA2", 92, 200, 0.085), ("MOEAD", 91, 200, 0.056)],
)
def test_reaches_the_front_of_dtlz2(name: str, p: int, generations: int, igd: float) -> None:
    torch.manual_seed(0)
    fit = gone(begun(OURS[name](p, 3, *box())), generations).algorithm.fit
    assert gap(fit) < igd


def test_rvea_reaches_the_front_of_dtlz2() -> None:
    torch.manual_seed(0)
    fit = gone(begun(RVEA(91, 3, *box(), max_gen=200)), 200).algorithm.fit
    assert gap(fit) < 0.056


def test_hype_reaches_the_front_of_dtlz2() -> None:
    torch.manual_seed(0)
    fit = gone(begun(HypE(20, 2, *box(6)), dtlz(6, 2)), 80).algorithm.fit
    assert gap(fit) < 0.03


def gap(fit: Tensor) -> float:
    """Inverted generational distance to points spread over the unit sphere's positive orthant."""
    front = torch.nn.functional.normalize(uniform_sampling(3000, fit.shape[1])[0])
    return float(torch.cdist(front, fit).amin(1).mean())


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("p", [11, 20])
def test_every_algorithm_keeps_its_size_and_its_seed(name: str, p: int) -> None:
    flows = []
    for _ in range(2):
        torch.manual_seed(4)
        flow = begun(OURS[name](p, 2, *box(6)), dtlz(6, 2))
        for _ in range(30):
            flow.step()
            assert flow.algorithm.pop.shape == (p, 6)
            assert flow.algorithm.fit.shape == (p, 2)
        flows.append(flow)
    assert same(*flows)


@pytest.mark.parametrize("name", OURS)
def test_every_algorithm_goes_on_elsewhere(name: str) -> None:
    torch.manual_seed(0)
    here = gone(begun(OURS[name](20, 2, *box(6)), dtlz(6, 2)), 5)
    there = begun(OURS[name](20, 2, *box(6)), dtlz(6, 2))
    there.load_state_dict(here.state_dict())
    assert same(gone(here, 5, seed=1), gone(there, 5, seed=1))


@pytest.mark.parametrize(("name", "n_keys"), [("NSGA3", 1), ("NSGA2", 2), ("HypE", 1)])
def test_selection_ops_of_evox_get_evox_keys(name: str, n_keys: int) -> None:
    came: list[list[Tensor]] = []

    def op(n: int, keys: list[Tensor]) -> Tensor:
        came.append(keys)
        return tournament_selection_multifit(n, keys)

    torch.manual_seed(0)
    workflow = begun(OURS[name](20, 2, *box(6), selection_op=op), dtlz(6, 2))
    fit = workflow.algorithm.fit
    gone(workflow, 2)
    assert [len(keys) for keys in came] == [n_keys, n_keys]
    assert torch.equal(came[0][-1].to(torch.int64), selection.fronts(fit))


def test_nsga3_takes_your_operators_and_points() -> None:
    calls: list[str] = []

    def crossover(pop: Tensor) -> Tensor:
        calls.append("crossover")
        return pop.clone()

    def mutation(pop: Tensor, lb: Tensor, ub: Tensor) -> Tensor:
        calls.append("mutation")
        return pop + 10 * torch.randn_like(pop)

    points = selection.das_dennis(3, 2)
    algorithm = NSGA3(9, 3, *box(), None, mutation, crossover, torch.float64, None, points)
    algorithm = gone(begun(algorithm), 2).algorithm
    assert calls == ["crossover", "mutation"] * 2
    assert algorithm.pop.dtype == torch.float64
    assert algorithm.selection.points is points
    assert bool(((algorithm.pop >= 0) & (algorithm.pop <= 1)).all())


def test_moead_equals_a_plain_loop() -> None:
    points = selection.das_dennis(3, 3)
    torch.manual_seed(2)
    algorithm = gone(begun(MOEAD(10, 3, *box(), neighbours=4)), 8).algorithm

    torch.manual_seed(2)
    place, problem, slots = Placement(points, 4, PBI()), dtlz(), torch.arange(10)
    plain = MOEAD(10, 3, *box(), neighbours=4)  # its operators, and its first population
    pop, state = plain.pop, None
    fit = problem.evaluate(pop)
    for _ in range(8):
        keys = torch.Generator().manual_seed(int(torch.randint(2**63 - 1, (1,))))
        first, second = place.parents(slots, generator=keys).unbind(1)
        children = plain.crossover(torch.cat([pop[first], pop[second]]))
        children = plain.mutation(children, *box()).clamp(0, 1)
        new = problem.evaluate(children)
        keys = torch.Generator().manual_seed(int(torch.randint(2**63 - 1, (1,))))
        found = place(fit, new, slots, state=state, generator=keys)
        pop, fit = torch.cat([pop, children])[found.indices], torch.cat([fit, new])[found.indices]
        state = found.state
    assert torch.equal(algorithm.pop, pop)
    assert torch.equal(algorithm.fit, fit)
    assert torch.equal(algorithm.memory.ideal, found.state.ideal)


@pytest.mark.parametrize("points", [None, selection.das_dennis(3, 3)])
def test_moead_looks_its_slots_up_on_its_device(
    points: Tensor | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Built(Exception):
        """There: "meta" stands for "cuda", which is not everywhere, and has no numbers."""

    def spied(points: Tensor, neighbours: int, decomposition: PBI) -> Placement:
        raise Built(points.device.type)

    monkeypatch.setattr(algorithms.moead, "MOEAD", spied)
    with pytest.raises(Built, match="meta"):
        MOEAD(10, 3, *box(), points=points, device=torch.device("meta"))
    with torch.device("meta"), pytest.raises(Built, match="meta"):
        MOEAD(10, 3, *box(), points=points)
    with pytest.raises(Built, match="cpu"):
        MOEAD(10, 3, *box(), points=points)


def test_moead_has_a_row_a_weight() -> None:
    assert MOEAD(92, 3, *box()).pop.shape == (91, 12)
    assert MOEAD(92, 3, *box(), points=selection.das_dennis(3, 4)).pop.shape == (15, 12)


def test_rvea_hands_its_numbers_over() -> None:
    points = selection.das_dennis(3, 4)
    algorithm = RVEA(20, 3, *box(), 1.5, 0.25, 40, points=points)
    survival = algorithm.selection
    assert isinstance(survival, selection.RVEA)
    assert (survival.alpha, survival.adaptation, survival.generations) == (1.5, 0.25, 40)
    assert survival.points is points
    assert algorithm.pop.shape == (20, 12)
    assert gone(begun(algorithm), 3).algorithm.memory.generation == 3


def test_rvea_equals_evolution_under_its_survival() -> None:
    points = selection.das_dennis(3, 4)
    torch.manual_seed(3)
    ours = gone(begun(RVEA(20, 3, *box(), max_gen=8, points=points)), 8)
    torch.manual_seed(3)
    survival = selection.RVEA(points, generations=8)
    plain = gone(begun(Evolution(20, 3, *box(), survival, Adapted.blank(15, 3))), 8)
    assert same(ours, plain)


def test_slots_hand_violations_over_by_slot() -> None:
    slots = Slots(Placement(selection.das_dennis(2, 1), 1))
    costs = torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    violation = torch.tensor([0.0, 0.0, 1.0, 0.0])
    found = slots(costs, 2, violation=violation, generator=torch.Generator())
    assert found.indices.tolist() == [0, 3]


@pytest.mark.parametrize("name", OURS)
def test_refuses_what_fits_no_front(name: str) -> None:
    make = OURS[name]
    problem = Function(lambda pop: pop[:, :3])
    with pytest.raises(ValueError, match=r"Truncation\(\)"):
        make(20, 1, *box())
    with pytest.raises(ValueError, match="pop_size=1"):
        make(1, 3, *box())
    with pytest.raises(ValueError, match="variable 0"):
        make(20, 3, torch.ones(4), torch.zeros(4))
    with pytest.raises(ValueError, match=r"\(20, 3\).*\(20, 2\)"):
        begun(make(20, 2, *box()), problem)


def test_refuses_points_and_operators_that_do_not_fit() -> None:
    four = selection.das_dennis(4, 2)
    with pytest.raises(ValueError, match="for 4 objectives"):
        NSGA3(20, 3, *box(), points=four)
    with pytest.raises(ValueError, match="of 4 objectives"):
        MOEAD(20, 3, *box(), points=four)
    with pytest.raises(ValueError, match="selection_op"):
        MOEAD(20, 3, *box(), selection_op=tournament_selection_multifit)
    with pytest.raises(ValueError, match="selection_op"):
        RVEA(20, 3, *box(), selection_op=tournament_selection_multifit)
    with pytest.raises(ValueError, match="points for 4 objectives"):
        RVEA(20, 3, *box(), points=four)
    with pytest.raises(ValueError, match="generations=0"):
        RVEA(20, 3, *box(), max_gen=0)
    with pytest.raises(ValueError, match="at least 5"):
        NSGA3(4, 5, *box())
    with pytest.raises(ValueError, match="n_samples=0"):
        HypE(20, 3, *box(), n_sample=0)
