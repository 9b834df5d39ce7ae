"""Robots' episodes on an accelerator: Brax's physics through evox's `BraxProblem`.

The same policies, genes and averages as fitness/episodes.py, in float32. evox's problem sums one
reward, so an episode is run once for each cost, from the same keys. Knows no algorithm and no
genome. Needs jax and brax, which evolve does not install: `pip install brax`.

Source: Freeman et al. 2021 (Brax); evox 1.4.0, `evox.problems.neuroevolution.brax`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

from evolve.errors import FitnessError
from fitness.episodes import gene_box, is_count, mujoco_warnings, n_genes

if TYPE_CHECKING:
    import torch
    from brax.envs import Env, State
    from evox.core import Problem
    from jax import Array  # type: ignore[import-not-found, unused-ignore]  # not always here

# Brax's state after the step and the action -> a jax scalar; of a module, to be pickled.
BraxCost: TypeAlias = "Callable[[State, Array], Array]"


def slowness(state: State, action: Array) -> Array:
    """Minus the forward velocity, m/s."""
    return -state.metrics["x_velocity"]


def effort(state: State, action: Array) -> Array:
    """The squared actions' sum: 0 at rest, a with all a motors at their limits."""
    return (action**2).sum()


@dataclass(frozen=True)
class BraxEpisodes:
    """An evox problem: (p, d) policies -> (p, m) costs, averages a step over steps and episodes.

    `environment`: Brax's name, such as "halfcheetah". The rest is as for `Episodes`; the starts
    of the `episodes` come from jax's key `seed`, the same for every policy and every call.
    """

    environment: str
    costs: tuple[BraxCost, ...] = (slowness, effort)
    hidden: tuple[int, ...] = (16,)
    steps: int = 200
    episodes: int = 1
    seed: int = 0
    reach: float = 1.0

    def __post_init__(self) -> None:
        counts = (len(self.costs), self.steps, self.episodes, *self.hidden)
        if not all(map(is_count, counts)) or not 0 < self.reach < float("inf"):
            raise FitnessError(
                f"{self} plays no episode; give at least one cost, step, episode and neuron in "
                "each hidden layer, as ints, and a positive reach."
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Neurons of each layer, from the observation to the action."""
        n_seen, n_motors = _ends(self.environment)
        return (n_seen, *self.hidden, n_motors)

    @property
    def n_parameters(self) -> int:
        """d, the genes of one policy."""
        return n_genes(self.sizes)

    def box(self, dtype: torch.dtype | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """(lb, ub), each (d,) on the CPU, of torch's default dtype unless given."""
        return gene_box(self.n_parameters, self.reach, dtype)

    def to(self, device: torch.device | str | None = None) -> BraxEpisodes:
        """Itself: the policies' device decides."""
        return self

    def evaluate(self, policies: torch.Tensor) -> torch.Tensor:
        """(p, d) -> (p, m) float64 costs on the same device; +inf in a row with one not finite.

        Compiles for each new p. Raises FitnessError for another shape.
        """
        import torch

        if policies.ndim != 2 or policies.shape[1] != self.n_parameters:
            raise FitnessError(
                f"{self.environment} was given policies of shape {tuple(policies.shape)}, "
                f"expected (p, {self.n_parameters}); draw them in BraxEpisodes.box()."
            )
        genes = policies.detach().float()
        problems = _problems(self, len(genes), genes.device)
        sums = [problem.evaluate(_parameters(genes, self.sizes)) for problem in problems]
        costs = torch.stack(sums, 1).to(torch.float64) / self.steps
        known = genes.isfinite().all(1) & costs.isfinite().all(1)
        return torch.where(known[:, None], costs, torch.inf)


def _parameters(genes: torch.Tensor, sizes: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """(p, d) by the names of `_policy`'s parameters, each with p in front."""
    found, start = {}, 0
    for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
        for name, shape in (("weight", (n_out, n_in)), ("bias", (n_out,))):
            stop = start + n_out * (n_in if name == "weight" else 1)
            found[f"{2 * layer}.{name}"] = genes[:, start:stop].reshape(-1, *shape)
            start = stop
    return found


def _policy(sizes: tuple[int, ...]) -> torch.nn.Module:
    import torch

    # Its weights are written over, and evox moves it: drawn where the stream is put back, whatever
    # torch's default device.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        layers = [(torch.nn.Linear(*ends), torch.nn.Tanh()) for ends in pairwise(sizes)]
    return torch.nn.Sequential(*(module for layer in layers for module in layer))


@cache
def _ends(environment: str) -> tuple[int, int]:
    """Numbers of observations and of motors."""
    robot = _made(environment)
    return int(robot.observation_size), int(robot.action_size)


@cache
def _problems(episodes: BraxEpisodes, p: int, device: torch.device) -> list[Problem]:
    """evox's problem of each cost, for p policies at a time."""
    from evox.problems.neuroevolution.brax import BraxProblem

    envs = _brax()
    problems = []
    for cost in episodes.costs:
        name = f"{episodes.environment} {cost.__module__}.{cost.__qualname__}"
        envs.register_environment(name, partial(_split, episodes.environment, cost))
        with mujoco_warnings():
            problem = BraxProblem(
                policy=_policy(episodes.sizes),
                env_name=name,
                max_episode_length=episodes.steps,
                num_episodes=episodes.episodes,
                seed=episodes.seed,
                pop_size=p,
                rotate_key=False,
                device=device,
                compile_policy=False,
            )
        problems.append(problem)
    return problems


def _split(environment: str, cost: BraxCost) -> Env:
    """The environment with `cost` as its reward, nothing from its end on.

    It never says that it is done: evox 1.4.0 forgets that in every other step.
    """
    envs = _brax()

    class Split(envs.Wrapper):  # type: ignore[misc, name-defined]  # brax is not always here
        def reset(self, rng: Array) -> State:
            state = self.env.reset(rng)
            kept = {**state.info, "alive": 1.0 - state.done}
            return state.replace(info=kept, done=state.done * 0, reward=state.reward * 0)

        def step(self, state: State, action: Array) -> State:
            alive = state.info["alive"]
            after = self.env.step(state, action)
            kept = {**after.info, "alive": alive * (1.0 - after.done)}
            paid = alive * cost(after, action)
            return after.replace(info=kept, done=after.done * 0, reward=paid)

    return Split(_made(environment))


def _made(environment: str) -> Env:
    envs = _brax()
    try:
        with mujoco_warnings():
            return envs.get_environment(environment)
    except KeyError as error:
        raise FitnessError(
            f"Brax has no environment {environment!r}; give one such as 'halfcheetah', 'hopper', "
            "'walker2d', 'ant' or 'swimmer'."
        ) from error


def _brax() -> ModuleType:
    try:
        import brax.envs
    except ImportError as error:
        raise FitnessError(
            f"BraxEpisodes needs jax and brax ({error}); install them with `pip install brax` "
            "(and `jax[cuda12]` for a GPU), or use fitness.episodes.Episodes on the CPU."
        ) from error
    envs: ModuleType = brax.envs
    return envs
