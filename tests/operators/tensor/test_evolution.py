from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
import torch
from evox.operators.crossover import simulated_binary, simulated_binary_half
from evox.operators.mutation import polynomial_mutation
from evox.workflows import StdWorkflow
from torch import Tensor

from evolve.variation import Selection
from operators.selection import NSGA2, NSGA3, Tournament, Truncation, das_dennis
from operators.selection.normalisation import Memory
from operators.selection.rvea import RVEA, Adapted
from operators.tensor import NSGA3 as tensor_nsga3
from operators.tensor import Evolution
from tests.operators.tensor.flow import Function, begun, box, dtlz, gone, same

POINTS = das_dennis(3, 5)  # 21 of them


def evolution(
    p: int = 24, dtype: torch.dtype = torch.float32, selection: Selection | None = None
) -> Evolution:
    return Evolution(p, 3, *box(12, dtype), selection or NSGA3(POINTS), Memory.blank(3))


def plain_loop(p: int, generations: int, seed: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The same calls in the same order, and no evox algorithm or workflow around them."""
    torch.manual_seed(seed)
    lb, ub = box(12, dtype)
    problem, select = dtlz(), NSGA3(POINTS)
    pop = lb + torch.rand(p, 12, dtype=dtype) * (ub - lb)
    fit = problem.evaluate(pop)
    state: object = Memory.blank(3)
    for _ in range(generations):
        parents = pop[torch.rand(p + p % 2).argsort() % p]
        children = simulated_binary(parents, pro_c=1.0, dis_c=30.0)[:p]
        children = polynomial_mutation(children, lb, ub, pro_m=1, dis_m=20).clamp(0, 1)
        costs = torch.cat([fit, problem.evaluate(children)])
        generator = torch.Generator().manual_seed(int(torch.randint(2**63 - 1, (1,))))
        found = select(costs, p, state=state, generator=generator)
        state = found.state
        pop, fit = torch.cat([pop, children])[found.indices], costs[found.indices]
    return pop, fit


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("p", [24, 25])
def test_equals_a_plain_loop(p: int, dtype: torch.dtype) -> None:
    torch.manual_seed(3)
    algorithm = gone(begun(evolution(p, dtype)), 40).algorithm
    pop, fit = plain_loop(p, 40, 3, dtype)
    assert torch.equal(algorithm.pop, pop)
    assert torch.equal(algorithm.fit, fit)
    assert algorithm.pop.dtype == dtype


def test_same_seed_same_bits() -> None:
    def run(seed: int) -> StdWorkflow:
        torch.manual_seed(seed)
        return gone(begun(evolution()), 20)

    assert same(run(1), run(1))
    assert not torch.equal(run(1).algorithm.pop, run(2).algorithm.pop)


@pytest.mark.parametrize(
    ("name", "p"), [("DTLZ1", 21), ("DTLZ2", 2), ("DTLZ3", 23), ("DTLZ4", 24), ("DTLZ7", 3)]
)
def test_the_population_never_changes_its_size(name: str, p: int) -> None:
    torch.manual_seed(0)
    workflow = begun(evolution(p), dtlz(name=name))
    for _ in range(300):
        workflow.step()
        assert workflow.algorithm.pop.shape == (p, 12)
        assert workflow.algorithm.fit.shape == (p, 3)
    assert bool(((workflow.algorithm.pop >= 0) & (workflow.algorithm.pop <= 1)).all())
    expected = dtlz(name=name).evaluate(workflow.algorithm.pop)
    torch.testing.assert_close(workflow.algorithm.fit, expected)  # costs stay with their rows


def test_exactly_as_many_children_as_members_are_evaluated() -> None:
    rows: list[int] = []

    def seen(pop: Tensor) -> Tensor:
        rows.append(len(pop))
        return pop[:, :3]

    gone(begun(evolution(25), Function(seen)), 2)
    assert rows == [25, 25, 25]


def test_goes_on_in_another_process() -> None:
    torch.manual_seed(0)
    here = gone(begun(evolution()), 10)
    letter = io.BytesIO()
    torch.save(here.state_dict(), letter)
    torch.manual_seed(99)
    there = begun(evolution())
    letter.seek(0)
    there.load_state_dict(torch.load(letter))
    alone = evolution()
    alone.load_state_dict(here.algorithm.state_dict())
    third = StdWorkflow(alone, dtlz())  # never initialised: nothing but the buffers counts
    assert same(here, there)
    assert same(gone(here, 10, seed=5), gone(there, 10, seed=5))
    assert same(here, gone(third, 10, seed=5))


def test_costs_finer_than_the_population_are_carried_whole() -> None:
    problem = Function(lambda pop: dtlz().evaluate(pop.double()))
    torch.manual_seed(0)
    here = gone(begun(evolution(), problem), 3)
    assert here.algorithm.fit.dtype == torch.float64
    assert here.algorithm.pop.dtype == torch.float32
    there = StdWorkflow(evolution(), problem)
    there.load_state_dict(here.state_dict())
    assert same(gone(here, 5, seed=5), gone(there, 5, seed=5))


def test_loading_writes_into_no_tensor_of_the_caller() -> None:
    blank, costs = Memory.blank(3), torch.rand(24, 3)
    algorithm = Evolution(24, 3, *box(), NSGA3(POINTS), blank)
    workflow = begun(algorithm, Function(lambda pop: costs))
    kept = costs.clone()
    workflow.load_state_dict(gone(begun(evolution()), 3).state_dict())
    assert bool(blank.ideal.isinf().all())
    assert torch.equal(costs, kept)


def compiled_and_eager(
    dtype: torch.dtype, compiler: Callable[..., Callable[[], None]]
) -> tuple[StdWorkflow, StdWorkflow]:
    flows = []
    for compiled in (True, False):
        torch.manual_seed(1)
        flow = begun(evolution(25, dtype))
        step = compiler(flow.step) if compiled else flow.step
        for _ in range(10):
            step()
        flows.append(flow)
    return flows[0], flows[1]


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")
def test_compiled_equals_eager() -> None:
    torch.compiler.reset()
    one, other = compiled_and_eager(torch.float32, partial(torch.compile, backend="aot_eager"))
    assert same(one, other)
    breaks = torch._dynamo.utils.counters["graph_break"]
    assert len(breaks) == 1  # the survival, as the docstring says
    assert "_survivors" in next(iter(breaks))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")
def test_compiled_by_inductor_equals_eager_but_for_rounding() -> None:
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("NO C++ COMPILER: torch.compile's Inductor was not compared with eager")
    torch.compiler.reset()
    inductor = partial(torch.compile, options={"fallback_random": True})
    one, other = compiled_and_eager(torch.float64, inductor)
    torch.testing.assert_close(one.algorithm.pop, other.algorithm.pop, rtol=0, atol=1e-6)
    torch.testing.assert_close(one.algorithm.fit, other.algorithm.fit, rtol=0, atol=1e-6)


def test_any_selection_of_ours_and_any_mating() -> None:
    torch.manual_seed(0)
    several = Evolution(24, 3, *box(), NSGA2(), mating=Tournament())
    assert (gone(begun(several), 60).algorithm.fit.norm(dim=1) < 1.2).all()
    single = Evolution(24, 1, *box(), Truncation())
    sphere = Function(lambda pop: ((pop - 0.3) ** 2).sum(1, keepdim=True))
    assert gone(begun(single, sphere), 100).algorithm.fit.max() < 1e-2
    rvea = RVEA(POINTS, generations=60)
    adapting = Evolution(24, 3, *box(), rvea, Adapted.blank(21, 3))
    assert (gone(begun(adapting), 60).algorithm.fit.norm(dim=1) < 1.2).all()
    assert adapting.memory.state.generation == 60


def test_a_crossover_may_make_fewer_children() -> None:
    torch.manual_seed(0)
    algorithm = Evolution(24, 3, *box(), NSGA2(), crossover=simulated_binary_half)
    assert gone(begun(algorithm), 5).algorithm.pop.shape == (24, 12)


def test_a_population_of_bits() -> None:
    def flip(pop: Tensor, lb: Tensor, ub: Tensor) -> Tensor:
        return pop ^ (torch.rand(pop.shape) < 0.05)

    def swap(pop: Tensor) -> Tensor:
        return torch.where(torch.rand(pop.shape) < 0.5, pop, pop.roll(1, 0))

    def two_halves(pop: Tensor) -> Tensor:
        return torch.stack([pop[:, :6].sum(1), (~pop[:, 6:]).sum(1)], 1).float()

    torch.manual_seed(0)
    algorithm = Evolution(
        16, 2, *box(), NSGA2(), mutation=flip, crossover=swap, data_type=torch.bool
    )
    workflow = gone(begun(algorithm, Function(two_halves)), 60)
    assert workflow.algorithm.pop.dtype == torch.bool
    assert not bool(workflow.algorithm.fit.any())


def test_children_stay_in_an_uneven_box() -> None:
    lb = torch.tensor([-5.0, 0.0, 1e6], dtype=torch.float64)
    ub = torch.tensor([-4.0, 1e-9, 1e6 + 1], dtype=torch.float64)
    torch.manual_seed(0)
    algorithm = Evolution(10, 3, lb, ub, NSGA3(POINTS), Memory.blank(3))
    workflow = begun(algorithm, Function(lambda pop: (pop - lb) / (ub - lb)))
    for _ in range(30):
        workflow.step()
        assert bool(((workflow.algorithm.pop >= lb) & (workflow.algorithm.pop <= ub)).all())


def test_whole_number_bounds_and_another_data_type() -> None:
    lb, ub = torch.zeros(4, dtype=torch.int64), torch.full((4,), 3)
    assert Evolution(4, 2, lb, ub, NSGA2()).pop.dtype == torch.float32
    assert Evolution(4, 2, lb, ub, NSGA2(), data_type=torch.float64).pop.dtype == torch.float64
    algorithm = Evolution(4, 2, lb.float(), ub.float(), NSGA2(), data_type=torch.float16)
    assert gone(begun(algorithm, Function(lambda pop: pop[:, :2])), 3).algorithm.pop.dtype == (
        torch.float16
    )


def test_costs_keep_no_gradient() -> None:
    weight = torch.ones(3, requires_grad=True)
    workflow = begun(evolution(), Function(lambda pop: pop[:, :3] * weight))
    assert not gone(workflow, 2).algorithm.fit.requires_grad


def test_broken_costs_leave_the_population() -> None:
    def partly(pop: Tensor) -> Tensor:
        return torch.where(pop[:, :1] < 0.5, torch.nan, dtlz().evaluate(pop))

    torch.manual_seed(0)
    assert bool(gone(begun(evolution(), Function(partly)), 30).algorithm.fit.isfinite().all())
    hopeless = Function(lambda pop: torch.full((len(pop), 3), torch.nan))
    assert gone(begun(evolution(), hopeless), 3).algorithm.pop.shape == (24, 12)


def test_the_memory_stays_where_and_what_it_is() -> None:
    algorithm = evolution().to(torch.float16)
    assert algorithm.memory.ideal.dtype == torch.float64


def test_another_default_device() -> None:
    problem, lb, ub = dtlz(), *box()
    torch.manual_seed(0)
    expected = gone(begun(evolution(), problem), 3)
    torch.manual_seed(0)
    with torch.device("meta"):  # stands for "cuda", which is not everywhere
        cpu = torch.device("cpu")
        algorithm = tensor_nsga3(24, 3, lb, ub, device=cpu, points=POINTS)
        workflow = StdWorkflow(algorithm, problem, device=cpu)
        workflow.init_step()
        gone(workflow, 3)
    assert same(workflow, expected)


@pytest.mark.gpu
def test_on_the_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("NO GPU: no generation was run on CUDA")
    for device in (None, torch.device("cuda")):  # moved by the workflow, or made there
        torch.manual_seed(0)
        lb, ub = box()
        algorithm = Evolution(25, 3, lb, ub, NSGA3(POINTS), Memory.blank(3), device=device)
        workflow = StdWorkflow(algorithm, dtlz().cuda(), device="cuda")
        workflow.init_step()
        gone(workflow, 100)
        assert workflow.algorithm.pop.shape == (25, 12)
        assert workflow.algorithm.pop.device.type == "cuda"
        assert (workflow.algorithm.fit.norm(dim=1) < 1.1).all()
        again = StdWorkflow(evolution(25), dtlz().cuda(), device="cuda")
        again.load_state_dict(workflow.state_dict())
        assert same(gone(workflow, 5, seed=1), gone(again, 5, seed=1))


@dataclass(frozen=True)
class Arguments:
    pop_size: int = 24
    n_objs: int = 3
    lb: Tensor = field(default_factory=lambda: torch.zeros(12))
    ub: Tensor = field(default_factory=lambda: torch.ones(12))
    selection: Selection = field(default_factory=lambda: NSGA3(POINTS))
    state: object | None = field(default_factory=lambda: Memory.blank(3))
    data_type: torch.dtype | None = None


@pytest.mark.parametrize(
    ("came", "says"),
    [
        (Arguments(pop_size=1), "pop_size=1"),
        (Arguments(pop_size=24.0), "pop_size=24.0"),  # type: ignore[arg-type]
        (Arguments(n_objs=0), "n_objs=0"),
        (Arguments(n_objs=1), r"Truncation\(\)"),
        (Arguments(n_objs=2), "for 3 objectives"),
        (Arguments(lb=[0.0]), "bound list"),  # type: ignore[arg-type]
        (Arguments(lb=torch.zeros(2, 6)), r"bound \(2, 6\)"),
        (Arguments(lb=torch.zeros(0), ub=torch.zeros(0)), r"bound \(0,\)"),
        (Arguments(lb=torch.zeros(11)), r"lb \(11,\)"),
        (Arguments(lb=torch.zeros(12, dtype=torch.float64)), "float64"),
        (Arguments(lb=torch.zeros(12, device="meta")), "meta"),
        (Arguments(lb=torch.ones(12)), "variable 0"),
        (Arguments(ub=torch.tensor([1.0] * 11 + [-1.0])), "variable 11"),
        (Arguments(ub=torch.full((12,), torch.inf)), "ub=inf"),
        (Arguments(lb=torch.full((12,), torch.nan)), "lb=nan"),
        (Arguments(ub=torch.full((12,), 1e6), data_type=torch.float16), "ub=inf"),
        (Arguments(data_type=torch.int64), "int64"),
        (Arguments(data_type=torch.bool), "of your own"),
        (Arguments(state=None), "NoneType, but its selection returned Memory"),
        (Arguments(state=Memory.blank(2)), "memory of 2 objectives"),
        (Arguments(selection=NSGA2()), "Memory, but its selection returned NoneType"),
    ],
)
def test_refuses_before_any_work(came: Arguments, says: str) -> None:
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match=says):
        Evolution(**vars(came))
    assert torch.equal(torch.get_rng_state(), before)


def test_refuses_costs_of_another_shape() -> None:
    workflow = StdWorkflow(evolution(), dtlz(m=4))
    with pytest.raises(ValueError, match=r"costs \(24, 4\).*expected \(24, 3\)"):
        workflow.init_step()
    flat = Function(lambda pop: pop.sum(1))
    with pytest.raises(ValueError, match=r"costs \(24,\)"):
        StdWorkflow(evolution(), flat).init_step()
    assert flat.n_calls == 1
