"""Robots' episodes as a problem with several costs: a batch of small policy networks, each flat.

All policies of a batch act at once, one batched product a layer and step; the physics is a list of
gymnasium environments in this process, stepped one after another on the CPU, in float64. Knows no
algorithm and no genome. Needs gymnasium, and mujoco for its robots; see fitness/brax_episodes.py
for the same on an accelerator.

Source of the idea, rewards of a robot split into objectives and a population evolved on them:
Liang, Li & Cheng 2024, "Bridging evolutionary multiobjective optimization and GPU acceleration
via tensorization", benchmark MoRobtrol. Physics: Todorov, Erez & Tassa 2012 (MuJoCo).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, SupportsFloat, TypeAlias

import numpy as np

from evolve.errors import FitnessError

if TYPE_CHECKING:
    import gymnasium
    import torch

TILE = 128  # environments alive at a time; a MuJoCo robot takes about 1 MB


class Moment(NamedTuple):
    """What one step of one robot left behind."""

    observation: np.ndarray  # (o,) float64, after the step
    action: np.ndarray  # (a,) float64 in [-1, 1], as the policy gave it
    info: Mapping[str, float]  # the environment's own measurements of the step


StepCost: TypeAlias = Callable[[Moment], float]  # of a module, so that it can be pickled


def slowness(moment: Moment) -> float:
    """Minus the forward velocity, m/s: summed over an episode, minus the way made good."""
    return -float(moment.info["x_velocity"])


def effort(moment: Moment) -> float:
    """The squared actions' sum, without unit: 0 at rest, a with all a motors at their limits."""
    return float(np.square(moment.action).sum())


def brevity(moment: Moment) -> float:
    """-1 for each step lived: averaged over the horizon, minus the share of it survived."""
    return -1.0


@dataclass(frozen=True)
class Info:
    """The entry `key` of the environment's info times `sign`; give -1 for what is a reward."""

    key: str
    sign: float = 1.0

    def __call__(self, moment: Moment) -> float:
        return self.sign * float(moment.info[self.key])


@dataclass(frozen=True)
class Episodes:
    """An evox problem: (p, d) policies -> (p, m) costs, averages a step over `steps` and `seeds`.

    `environment`: a gymnasium id with a flat observation and a bounded continuous action, such as
    "HalfCheetah-v5". `costs`: one a step and objective, to be minimised. One episode of `steps`
    steps starts from each of `seeds`, the same for every policy. An episode that ends early adds
    nothing from then on, and is still divided by `steps`: who falls neither gains nor pays.
    `hidden`: neurons of each hidden layer; all layers end in tanh. A policy's genes lie in
    [-reach, reach]: for each layer its weights (out, in), row by row, then its biases (out,).

    A row's costs depend on that row alone, to the last bit. They are all infinite where a gene or
    a cost is not finite, or where MuJoCo warned that its simulation had become unstable.
    """

    environment: str
    costs: tuple[StepCost, ...] = (slowness, effort)
    hidden: tuple[int, ...] = (16,)
    steps: int = 200
    seeds: tuple[int, ...] = (0,)
    reach: float = 1.0

    def __post_init__(self) -> None:
        if not (self.costs and self.seeds and all(map(is_count, (self.steps, *self.hidden)))):
            raise FitnessError(
                f"{self} plays no episode; give at least one cost, one seed, one step and one "
                "neuron in each hidden layer, as ints."
            )
        if not 0 < self.reach < np.inf:
            raise FitnessError(f"Episodes.reach is {self.reach}; give a positive number.")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Neurons of each layer, from the observation to the action."""
        (robot,) = _robots(self.environment, 1)
        return (robot.n_seen, *self.hidden, len(robot.low))

    @property
    def n_parameters(self) -> int:
        """d, the genes of one policy."""
        return n_genes(self.sizes)

    def box(self, dtype: torch.dtype | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """(lb, ub), each (d,) on the CPU, of torch's default dtype unless given."""
        return gene_box(self.n_parameters, self.reach, dtype)

    def to(self, device: torch.device | str | None = None) -> Episodes:
        """Itself, which is what evox's workflow asks for: the physics stays on the CPU."""
        return self

    def evaluate(self, policies: torch.Tensor) -> torch.Tensor:
        """(p, d) of any dtype and device -> (p, m) float64 costs there.

        Takes p · steps · len(seeds) steps of physics, 40 to 250 µs each for MuJoCo's robots.
        Raises FitnessError for another shape.
        """
        import torch

        d = self.n_parameters
        if policies.ndim != 2 or policies.shape[1] != d:
            raise FitnessError(
                f"{self.environment} was given policies of shape {tuple(policies.shape)}, "
                f"expected (p, {d}): layers of {self.sizes} neurons; draw them in Episodes.box()."
            )
        genes = policies.detach().to("cpu", torch.float64)
        found = np.full((len(genes), len(self.costs)), np.inf)
        known = np.flatnonzero(genes.isfinite().all(1).numpy())
        for start in range(0, len(known), TILE):
            rows = known[start : start + TILE]
            found[rows] = sum(self._episode(genes[rows], seed) for seed in self.seeds)
        found[~np.isfinite(found).all(1)] = np.inf
        return torch.from_numpy(found / (self.steps * len(self.seeds))).to(policies.device)

    def _episode(self, genes: torch.Tensor, seed: int) -> np.ndarray:
        """(t, d) -> (t, m): the sums of each cost over one episode."""
        import torch

        robots = _robots(self.environment, len(genes))
        layers = _layers(genes, self.sizes)
        seen = np.stack([robot.body.reset(seed=seed)[0] for robot in robots]).astype(np.float64)
        totals = np.zeros((len(genes), len(self.costs)))
        alive = np.arange(len(genes))
        with mujoco_warnings() as heard:
            for _ in range(self.steps):
                actions = _act(layers, torch.from_numpy(seen)).numpy()
                ended = np.zeros(len(genes), dtype=bool)
                for i in alive:
                    seen[i], _, terminated, truncated, info = robots[i].step(actions[i])
                    moment = Moment(seen[i], actions[i], info)
                    totals[i] += [cost(moment) for cost in self.costs]
                    ended[i] = terminated or truncated or bool(heard)
                    if heard:  # what it did next is not physics
                        totals[i] = np.inf
                        heard.clear()
                alive = alive[~ended[alive]]
                if not len(alive):
                    break
        return totals


def n_genes(sizes: tuple[int, ...]) -> int:
    """How many weights and biases a network with layers of `sizes` neurons has."""
    return sum((n_in + 1) * n_out for n_in, n_out in pairwise(sizes))


def gene_box(
    d: int, reach: float, dtype: torch.dtype | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(lb, ub), each (d,) on the CPU, of torch's default dtype unless given: -reach, reach."""
    import torch

    ub = torch.full((d,), reach, dtype=dtype, device="cpu")
    return -ub, ub


def is_count(number: object) -> bool:
    """Whether it is an int of 1 or more; a bool is none."""
    return isinstance(number, int) and not isinstance(number, bool) and number > 0


def _layers(
    genes: torch.Tensor, sizes: tuple[int, ...]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(p, d) -> for each layer its weights (p, out, in) and biases (p, out)."""
    layers, start = [], 0
    for n_in, n_out in pairwise(sizes):
        stop = start + n_in * n_out
        weights = genes[:, start:stop].reshape(-1, n_out, n_in).contiguous()
        layers.append((weights, genes[:, stop : stop + n_out].contiguous()))
        start = stop + n_out
    return layers


def _act(layers: list[tuple[torch.Tensor, torch.Tensor]], seen: torch.Tensor) -> torch.Tensor:
    """(p, o) -> (p, a) in [-1, 1].

    A product and a sum over the last axis, not a `bmm`: the order in which BLAS adds depends on
    the size of the batch, and physics makes much of a last bit.
    """
    for weights, biases in layers:
        seen = ((weights * seen[:, None, :]).sum(-1) + biases).tanh()
    return seen


class _Robot(NamedTuple):
    """A gymnasium environment, its observations' number and the limits of its motors, (a,)."""

    body: gymnasium.Env[np.ndarray, np.ndarray]
    n_seen: int
    low: np.ndarray
    high: np.ndarray

    def step(
        self, action: np.ndarray
    ) -> tuple[np.ndarray, SupportsFloat, bool, bool, Mapping[str, float]]:
        """gymnasium's, on an action in [-1, 1]."""
        return self.body.step(self.low + (action + 1) / 2 * (self.high - self.low))


def _robots(environment: str, n: int) -> list[_Robot]:
    """The first n of this process's environments of that id, made on first use and kept."""
    kept = _kept(environment)
    while len(kept) < n:
        kept.append(_made(environment))
    return kept[:n]


@cache
def _kept(environment: str) -> list[_Robot]:
    return []


def _made(environment: str) -> _Robot:
    try:
        import gymnasium
    except ImportError as error:
        raise FitnessError(
            f"{environment} needs gymnasium, which is not installed; install evolve[robots]."
        ) from error
    try:
        with mujoco_warnings():  # mujoco's of old words in a robot's file
            body = gymnasium.make(environment, max_episode_steps=-1, disable_env_checker=True)
    except (gymnasium.error.Error, ImportError) as error:
        raise FitnessError(
            f"gymnasium makes no {environment} ({error}); install evolve[robots] for MuJoCo's "
            "robots, or give one of `gymnasium.registry`."
        ) from error
    seen, motors = body.observation_space, body.action_space
    if not (
        isinstance(seen, gymnasium.spaces.Box)
        and isinstance(motors, gymnasium.spaces.Box)
        and motors.is_bounded()
        and len(seen.shape) == len(motors.shape) == 1
    ):
        raise FitnessError(
            f"{environment} observes {seen} and acts in {motors}, Episodes needs a vector of "
            "numbers and a bounded one; take an environment with continuous actions."
        )
    return _Robot(body, seen.shape[0], motors.low, motors.high)


@contextmanager
def mujoco_warnings() -> Iterator[list[str]]:
    """What MuJoCo warns of inside; else it would write a log file where the process runs.

    The handler is the process's own, so one at a time.
    """
    heard: list[str] = []
    try:
        import mujoco
    except ImportError:  # another physics
        yield heard
        return
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(heard.append)
    try:
        yield heard
    finally:
        mujoco.set_mju_user_warning(before)
