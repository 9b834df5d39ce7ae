from __future__ import annotations

import pickle
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from evolve.errors import FitnessError
from fitness import episodes
from fitness.episodes import Episodes, Info, Moment, brevity, effort, slowness

gymnasium = pytest.importorskip(
    "gymnasium", reason="gymnasium is not installed: no episode is tested"
)
pytest.importorskip("mujoco", reason="mujoco is not installed: no robot is tested")

ALL = (slowness, effort, brevity)
ROBOTS = ("Swimmer-v5", "HalfCheetah-v5", "Hopper-v5")


def policies(problem: Episodes, n: int, seed: int = 0) -> torch.Tensor:
    unit = torch.rand(n, problem.n_parameters, generator=torch.Generator().manual_seed(seed))
    lb, ub = problem.box()
    return lb + unit * (ub - lb)


def slow(problem: Episodes, genes: np.ndarray) -> np.ndarray:
    """One policy in an environment of its own, written out with matrices."""
    with episodes.mujoco_warnings():
        body = gymnasium.make(problem.environment, disable_env_checker=True)
    totals = np.zeros(len(problem.costs))
    for seed in problem.seeds:
        seen, _ = body.reset(seed=seed)
        for _ in range(problem.steps):
            at, signal = 0, seen
            for n_in, n_out in pairwise(problem.sizes):
                weights = genes[at : at + n_in * n_out].reshape(n_out, n_in)
                at += n_in * n_out
                signal = np.tanh(weights @ signal + genes[at : at + n_out])
                at += n_out
            low, high = body.action_space.low, body.action_space.high
            seen, _, ended, _, info = body.step((low + high) / 2 + signal * (high - low) / 2)
            totals += [cost(Moment(seen, signal, info)) for cost in problem.costs]
            if ended:
                break
    return totals / problem.steps / len(problem.seeds)


@pytest.mark.parametrize("robot", ROBOTS)
def test_costs_are_the_averages_of_the_slow_loop(robot: str) -> None:
    problem = Episodes(robot, ALL, hidden=(5, 3), steps=60, seeds=(3, 8))
    genes = policies(problem, 4)
    found = problem.evaluate(genes).numpy()
    expected = [slow(problem, row) for row in genes.double().numpy()]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)  # chaos feeds on last bits


def test_commands_reach_the_motors_own_limits() -> None:
    problem = Episodes("Pendulum-v1", (effort,), hidden=(), steps=40, reach=3.0)
    genes = policies(problem, 3)
    expected = [slow(problem, row) for row in genes.double().numpy()]
    np.testing.assert_allclose(problem.evaluate(genes).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("robot", ROBOTS)
def test_a_policy_scores_the_same_alone_and_in_any_company(
    robot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = Episodes(robot, ALL, steps=80, seeds=(1,))
    genes = policies(problem, 7)
    together = problem.evaluate(genes)
    alone = torch.cat([problem.evaluate(row[None]) for row in genes])
    backwards = problem.evaluate(genes.flip(0)).flip(0)
    monkeypatch.setattr(episodes, "TILE", 3)
    tiled = problem.evaluate(genes)
    for other in (alone, backwards, tiled):
        assert torch.equal(together, other)
    assert together.dtype == torch.float64
    assert together.unique(dim=0).shape == (7, 3)


@pytest.mark.parametrize("sizes", [(17, 16, 6), (8, 8, 2), (111, 32, 8), (3, 1), (5, 7, 3, 1)])
def test_networks_give_the_same_bits_in_batches_of_any_size(sizes: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    d = sum((n_in + 1) * n_out for n_in, n_out in pairwise(sizes))
    genes = torch.randn(70, d, generator=generator, dtype=torch.float64)
    seen = torch.randn(70, sizes[0], generator=generator, dtype=torch.float64)
    whole = episodes._act(episodes._layers(genes, sizes), seen)
    for n in range(1, 70):
        rows = slice(70 - n, 70)
        part = episodes._act(episodes._layers(genes[rows], sizes), seen[rows])
        assert torch.equal(part, whole[rows])


def test_seeds_decide_the_start() -> None:
    genes = policies(Episodes("Swimmer-v5"), 2)
    one, two, both = (
        Episodes("Swimmer-v5", steps=20, seeds=seeds).evaluate(genes)
        for seeds in ((1,), (2,), (1, 2))
    )
    assert not torch.equal(one, two)
    torch.testing.assert_close(both, (one + two) / 2)


def test_who_stands_still_pays_and_gains_nothing() -> None:
    problem = Episodes("HalfCheetah-v5", ALL, steps=100)
    slow_, still, alive = problem.evaluate(torch.zeros(1, problem.n_parameters))[0].tolist()
    assert still == 0.0
    assert alive == -1.0
    assert abs(slow_) < 0.2  # m/s: it settles on its feet


def test_after_the_end_nothing_counts() -> None:
    def at(steps: int) -> Episodes:
        return Episodes("Hopper-v5", ALL, steps=steps, seeds=(5,))

    genes = policies(at(1), 6)
    short, long = at(300).evaluate(genes), at(600).evaluate(genes)
    assert bool((short[:, 2] > -1).all())  # all fell
    torch.testing.assert_close(long, short / 2, rtol=1e-12, atol=0)


def test_info_is_a_cost_by_name() -> None:
    named = Episodes("Swimmer-v5", (Info("x_velocity", -1.0), slowness), steps=20)
    found = named.evaluate(policies(named, 3))
    assert torch.equal(found[:, 0], found[:, 1])


def test_genes_that_are_no_numbers_cost_infinitely_and_alone() -> None:
    problem = Episodes("Swimmer-v5", steps=20)
    genes = policies(problem, 4)
    whole = problem.evaluate(genes)
    genes[1, 3], genes[2, 0] = torch.nan, torch.inf
    found = problem.evaluate(genes)
    assert bool((found[[1, 2]] == torch.inf).all())
    assert torch.equal(found[[0, 3]], whole[[0, 3]])
    assert problem.evaluate(genes[:0]).shape == (0, 2)


def test_a_simulation_gone_wrong_costs_infinitely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    problem = Episodes("Walker2d-v5", ALL, steps=30)
    genes = policies(problem, 2)
    whole = problem.evaluate(genes)
    physics = episodes._robots("Walker2d-v5", 2)[1].body.unwrapped.model.opt
    usual = physics.timestep
    physics.timestep = 50.0  # seconds: unstable at once
    try:
        found = problem.evaluate(genes)
    finally:
        physics.timestep = usual
    assert bool((found[1] == torch.inf).all())
    assert torch.equal(found[0], whole[0])
    assert list(tmp_path.iterdir()) == []  # no log of MuJoCo's
    assert torch.equal(problem.evaluate(genes), whole)


def test_it_travels_to_workers() -> None:
    problem = Episodes("Swimmer-v5", (slowness, effort, Info("reward_ctrl", -1.0)), steps=10)
    genes = policies(problem, 2)
    found = problem.evaluate(genes)
    copy = pickle.loads(pickle.dumps(problem))
    assert copy == problem
    assert torch.equal(copy.evaluate(genes), found)


def test_parameters_and_box() -> None:
    problem = Episodes("Swimmer-v5", hidden=(16,), reach=0.5)
    lb, ub = problem.box(torch.float64)
    assert problem.sizes == (8, 16, 2)
    assert problem.n_parameters == 8 * 16 + 16 + 16 * 2 + 2 == len(lb) == len(ub)
    assert (lb.dtype, float(lb.max()), float(ub.min())) == (torch.float64, -0.5, 0.5)


def test_evox_evolves_it() -> None:
    from evox.algorithms import NSGA2
    from evox.workflows import StdWorkflow

    problem = Episodes("Swimmer-v5", hidden=(4,), steps=40)

    class Single(torch.nn.Module):  # evox's own NSGA2 ranks in the population's dtype only
        def forward(self, costs: torch.Tensor) -> torch.Tensor:
            return costs.float()

    with torch.random.fork_rng():
        torch.manual_seed(7)
        algorithm = NSGA2(16, 2, *problem.box())
        workflow = StdWorkflow(algorithm, problem, fitness_transform=Single())
        workflow.init_step()
        before = workflow.algorithm.fit.amin(0)
        for _ in range(8):
            workflow.step()
        after = workflow.algorithm.fit.amin(0)
    assert bool((after < before).all())  # faster, and more at rest


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Episodes("Swimmer-v5", ()), "at least one cost"),
        (lambda: Episodes("Swimmer-v5", steps=0), "one step"),
        (lambda: Episodes("Swimmer-v5", steps=2.5), "steps=2.5.* as ints"),  # type: ignore[arg-type]
        (lambda: Episodes("Swimmer-v5", steps=True), "steps=True.* as ints"),
        (lambda: Episodes("Swimmer-v5", hidden=(4.0,)), "as ints"),  # type: ignore[arg-type]
        (lambda: Episodes("Swimmer-v5", seeds=()), "one seed"),
        (lambda: Episodes("Swimmer-v5", hidden=(4, 0)), "one neuron"),
        (lambda: Episodes("Swimmer-v5", reach=0.0), "reach is 0.0"),
        (lambda: Episodes("NoRobot-v0").n_parameters, "makes no NoRobot-v0"),
        (lambda: Episodes("CartPole-v1").n_parameters, "continuous actions"),
        (lambda: Episodes("Swimmer-v5").evaluate(torch.zeros(2, 7)), r"shape \(2, 7\)"),
        (lambda: Episodes("Swimmer-v5").evaluate(torch.zeros(178)), r"expected \(p, 178\)"),
    ],
)
def test_what_is_refused(build: object, words: str) -> None:
    with pytest.raises(FitnessError, match=words):
        build()  # type: ignore[operator]


def test_without_gymnasium_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(FitnessError, match=r"install evolve\[robots\]"):
        Episodes("InvertedPendulum-v5").box()
