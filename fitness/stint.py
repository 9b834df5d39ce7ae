"""A stint: some generations of a whole tensor population, on one device, as one evaluation.

The score is the exact hypervolume of the population (through moocore; Fonseca, Paquete &
López-Ibáñez 2006), its heritage the algorithm's new state. Knows any evox `Algorithm` that keeps
all it carries from one generation to the next in its buffers, of dtypes that numpy has, two of
them `pop` and `fit`; knows nothing of the other islands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from evolve.errors import FitnessError
from evolve.genome import digest
from evolve.genomes.island import Island
from evolve.score import Needs, Objective, Score
from evolve.streams import Stream, seed_for
from fitness.expressed import attempt

if TYPE_CHECKING:
    import torch
    from evox.core import Algorithm, Problem


@dataclass(frozen=True)
class Stint:
    """`Stint(algorithm, problem, generations=50, reference=(1.1, 1.1, 1.1))` scores islands.

    algorithm, problem: functions of a module, so that workers can import them, which build them
    anew; called with `device` as torch's default. A founder's first generation is its
    algorithm's `init_step`, so every stint has as many. reference: the point of the hypervolume,
    one cost an objective, all minimised; what it does not exceed adds nothing. The exact
    hypervolume of many objectives is slow: beyond about 5 give a small population.
    device: torch's name of it, e.g. "cpu" or "cuda"; with a GPU set `needs=Needs(gpus=1)`.

    torch's random stream starts at (seed, genome) and is afterwards where it was before.
    Raises `FitnessError` for a declaration that cannot be.
    """

    algorithm: Callable[[], Algorithm]
    problem: Callable[[], Problem]
    generations: int
    reference: tuple[float, ...]
    device: str = "cpu"
    needs: Needs = field(default_factory=Needs)
    objectives: tuple[Objective, ...] = field(
        default=(Objective("hypervolume", maximise=True),), init=False
    )

    def __post_init__(self) -> None:
        n = self.generations
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise FitnessError(f"Stint.generations is {n!r}; give an int of 1 or more.")
        if len(self.reference) < 2 or not all(math.isfinite(cost) for cost in self.reference):
            raise FitnessError(
                f"Stint.reference is {self.reference}; give one finite cost for each of two or "
                "more objectives."
            )

    @property
    def rungs(self) -> tuple[int, ...]:
        return (self.generations,)

    def evaluate(self, genomes: Sequence[Island], rung: int, seed: int) -> list[Score]:
        """One score an island; metrics: `evaluations` made, and the size of the `front`."""
        return [attempt(partial(self._score, genome, seed), self.objectives) for genome in genomes]

    def _score(self, genome: Island, seed: int) -> Score:
        start = seed_for(seed, int(digest(genome)[:15], 16), Stream.EVALUATE)
        with _seeded(start, self.device):
            state, n_evaluations = self._evolved(genome.express())
        volume, n_front = self._measured(state["fit"])
        metrics = {"evaluations": float(n_evaluations), "front": float(n_front)}
        return Score((volume,), metrics=metrics, heritage=state)

    def _evolved(self, state: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], int]:
        """The algorithm's state after this stint, and how many individuals it evaluated."""
        from evox.workflows import StdWorkflow

        sizes: list[int] = []

        def counted(points: torch.Tensor) -> torch.Tensor:
            sizes.append(len(points))
            return points

        algorithm = self.algorithm()
        _check_buffers(algorithm)
        if state:
            _load_(algorithm, state)
        workflow = StdWorkflow(
            algorithm, self.problem(), solution_transform=counted, device=self.device
        )
        for generation in range(self.generations):
            if generation == 0 and not state:
                workflow.init_step()
            else:
                workflow.step()
        _check_buffers(workflow.algorithm)  # `fit` is in the problem's dtype by now
        buffers = workflow.algorithm.state_dict()
        arrays = {name: each.detach().cpu().numpy().copy() for name, each in buffers.items()}
        return arrays, sum(sizes)

    def _measured(self, fit: np.ndarray) -> tuple[float, int]:
        """Hypervolume, and number of non-dominated rows, of costs (p, m); finite rows count."""
        import moocore

        if fit.ndim != 2 or fit.shape[1] != len(self.reference):
            raise FitnessError(
                f"The algorithm's fit is {fit.shape}, Stint.reference has {len(self.reference)} "
                "costs; give one an objective."
            )
        points = fit[np.isfinite(fit).all(1)].astype(np.float64)
        if not len(points):
            return 0.0, 0
        volume = moocore.hypervolume(points, ref=np.array(self.reference, np.float64))
        return float(volume), int(moocore.is_nondominated(points, keep_weakly=True).sum())


def _load_(algorithm: Algorithm, state: Mapping[str, np.ndarray]) -> None:
    """Give `algorithm` its earlier state, dtypes and all. Raises `FitnessError` if not its own."""
    import torch

    tensors = {name: torch.from_numpy(array.copy()) for name, array in state.items()}
    try:
        algorithm.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise FitnessError(
            f"The island's state is not one of {type(algorithm).__name__}: {reason}; let islands "
            "carry states of the algorithm that Stint was given."
        ) from error


def _check_buffers(algorithm: Algorithm) -> None:
    """FitnessError unless `pop` and `fit` are among them, and numpy has the dtypes of all."""
    import torch

    buffers = algorithm.state_dict()
    if missing := {"pop", "fit"} - set(buffers):
        raise FitnessError(
            f"{type(algorithm).__name__} has no buffer {' and no '.join(sorted(missing))}; give "
            "an evox Algorithm that keeps its population in `pop` and its costs in `fit`."
        )
    for name, each in buffers.items():
        try:
            torch.empty(0, dtype=each.dtype, device="cpu").numpy()
        except TypeError as error:
            raise FitnessError(
                f"The algorithm keeps `{name}` in {each.dtype}, which numpy does not have; let "
                "its bounds, its data_type and the problem's costs be float32 or float64."
            ) from error


@contextmanager
def _seeded(seed: int, device: str) -> Iterator[None]:
    """Inside, torch works on `device`, without gradients, and its streams start at `seed`."""
    import torch

    place = torch.device(device)
    if place.type == "cuda" and not torch.cuda.is_available():
        raise FitnessError(
            f"Stint.device is {device!r}, but this process sees no CUDA device; run on a machine "
            "with one (with needs=Needs(gpus=1) Ray gives one to each worker), or give 'cpu'."
        )
    cuda = []
    if place.type == "cuda":
        cuda = [torch.cuda.current_device() if place.index is None else place.index]
    with torch.random.fork_rng(devices=cuda), torch.device(place), torch.no_grad():
        # not `torch.manual_seed`, which would also seed every other device, for good
        torch.default_generator.manual_seed(seed)
        for index in cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield
