"""Whole generations under any selection, as an evox `Algorithm` on CPU or GPU.

A step is mating, evox's simulated binary crossover and polynomial mutation, the bounds, the
evaluation, and one of our survivals on parents and children together. All that goes from one step
to the next is in buffers (`pop`, `fit`, the selection's state), so `state_dict()` moves a run to
another process, and `torch.manual_seed` decides the rest. Knows boxes of real numbers; no genome,
no fitness.

Under `torch.compile(workflow.step)` a step is two graphs, before and after the survival. The
survival runs as it is: it draws its keys from a CPU generator, reads how many rows the cut front
has, and ranks by moocore on the CPU; a mating of your own is one more break. The backend
"aot_eager" gives the bits of eager. Inductor draws eager's random numbers with
`options={"fallback_random": True}` (else it has a stream of its own), but rounds otherwise, as it
multiplies where eager calls `pow`: in float64, costs within 1e-6 of eager's for ten generations. A
generation of NSGA-III on DTLZ2 (population 92, three objectives, one CPU thread) took 1.67 ms by
Inductor, after 20 s of compiling, and 1.79 ms eager, 60 % of it the survival. `torch.vmap` cannot
map a survival.

Source: Deb & Jain 2014, table II (the operators' parameters); evox 1.4.0 (`Algorithm`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Self

import torch
from evox.core import Algorithm, Mutable
from evox.operators.crossover import simulated_binary
from evox.operators.mutation import polynomial_mutation
from torch import Tensor

from evolve.variation import Mating, Selection

Crossover = Callable[[Tensor], Tensor]  # (n, d) parents -> (n', d) children
Mutation = Callable[[Tensor, Tensor, Tensor], Tensor]  # (n, d) children, (d,) lb, (d,) ub


class Evolution(Algorithm):  # type: ignore[misc]  # evox has no types
    """Generations of `pop_size` children under any `Selection`, in the box from lb to ub.

    Buffers: pop (p, d), fit (p, m) as the problem returns it, and the selection's state.
    An evox problem returns costs alone, so the selection never gets a `violation`: a problem with
    constraints adds them to its costs as penalties, or is a `Fitness` whose scores have a
    violation, in a run of the engine.
    """

    def __init__(
        self,
        pop_size: int,
        n_objs: int,
        lb: Tensor,
        ub: Tensor,
        selection: Selection,
        state: object | None = None,
        mating: Mating | None = None,
        n_parents: int | None = None,
        mutation: Mutation | None = None,
        crossover: Crossover | None = None,
        data_type: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> None:
        """Draws the first population from torch's global stream, uniformly in the box.

        lb, ub: (d,) of one dtype, finite, lb < ub. selection: its survivors of (n, n_objs) costs.
        state: what it starts from, a dataclass of tensors of fixed shape as `Memory.blank(m)`;
        None for a selection that remembers nothing. mating: default every parent once, in random
        order; it gets no `samples`. n_parents: how many a generation draws; default pop_size, or
        one more if odd. crossover: default SBX, eta 30, probability 1; its children after the
        first pop_size are dropped. mutation: default polynomial, eta 20, probability 1 / d.
        data_type: of pop, default that of lb; torch.bool needs both operators of your own.
        device: default torch's. Raises ValueError for what does not fit together.
        """
        super().__init__()
        check_size(pop_size, n_objs)
        _check_bounds(lb, ub)
        dtype = data_type or (lb.dtype if lb.is_floating_point() else torch.get_default_dtype())
        _check_dtype(dtype, own=mutation is not None and crossover is not None)
        real = torch.float32 if dtype == torch.bool else dtype
        _check_box(lb.to(real), ub.to(real))
        _check_selection(selection, state, pop_size, n_objs)
        device = torch.get_default_device() if device is None else device
        self.pop_size, self.n_objs, self.dim = pop_size, n_objs, lb.shape[0]
        self.data_type = dtype
        self.lb = torch.nn.Buffer(lb.to(device, real), persistent=False)
        self.ub = torch.nn.Buffer(ub.to(device, real), persistent=False)
        self.selection, self.mating = selection, mating
        self.n_parents = pop_size + pop_size % 2 if n_parents is None else n_parents
        self.mutation = partial(polynomial_mutation, pro_m=1) if mutation is None else mutation
        self.crossover = partial(simulated_binary, dis_c=30.0) if crossover is None else crossover
        unit = torch.rand(pop_size, self.dim, device=device, dtype=real)
        first = unit > 0.5 if dtype == torch.bool else self.lb + unit * (self.ub - self.lb)
        self.pop = Mutable(self._bounded(first))
        self.fit = Mutable(torch.full((pop_size, n_objs), torch.inf, device=device, dtype=real))
        self.memory = _Buffers(state)

    def init_step(self) -> None:
        """Evaluate the first population."""
        self.fit = self._evaluated(self.pop).clone()  # `load_state_dict` writes into it

    def step(self) -> None:
        """One generation: pop_size children, and as many survivors of these and their parents.

        Raises ValueError if the problem returns costs of another shape.
        """
        parents = self.pop[self._parents()]
        children = self.mutation(self.crossover(parents)[: self.pop_size], self.lb, self.ub)
        children = self._bounded(children)
        costs = torch.cat([self.fit, self._evaluated(children)])
        survivors = self._survivors(costs)
        self.pop = torch.cat([self.pop, children])[survivors]
        self.fit = costs[survivors]

    def _parents(self) -> Tensor:
        """(n_parents,) int64 rows of `pop`."""
        if self.mating is None:
            order = torch.rand(self.n_parents, device=self.pop.device).argsort()
            return order % self.pop_size  # better than with replacement: experiments/README.md
        rows: Tensor = self._mated(self.mating)
        return rows

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _mated(self, mating: Mating) -> Tensor:
        with host():
            return mating(self.fit, None, self.n_parents, generator=_generator())

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _survivors(self, costs: Tensor) -> Tensor:
        """(p,) int64 rows of `costs`; what the selection learned goes to `memory`."""
        with host():
            selected = self.selection(
                costs, self.pop_size, state=self.memory.state, generator=_generator()
            )
        self.memory.take(selected.state)
        return selected.indices

    def _evaluated(self, pop: Tensor) -> Tensor:
        """(n, m) costs of `pop` (n, d), without their gradient."""
        costs: Tensor = self.evaluate(pop)
        expected = (pop.shape[0], self.n_objs)
        if not isinstance(costs, Tensor) or costs.shape != expected:
            came = tuple(costs.shape) if isinstance(costs, Tensor) else type(costs).__name__
            raise ValueError(
                f"Evolution got costs {came} from the problem, expected {expected}, a row a "
                "candidate and a column an objective; set n_objs to what the problem returns."
            )
        return costs.detach()

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *rest: object
    ) -> None:
        """As torch does, but in the dtype of the costs that come, which is the problem's."""
        if f"{prefix}fit" in state_dict:
            self.fit = self.fit.to(state_dict[f"{prefix}fit"].dtype)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _bounded(self, pop: Tensor) -> Tensor:
        """`pop` in the box and of the population's dtype."""
        if self.data_type == torch.bool:
            return pop.to(torch.bool)
        return torch.clamp(pop.to(self.data_type), self.lb, self.ub)


class _Buffers(torch.nn.Module):
    """A selection's state, a buffer for each of its fields."""

    def __init__(self, blank: object | None) -> None:
        super().__init__()
        self._blank = blank
        for name, tensor in _fields(blank).items():
            self.register_buffer(name, tensor.clone())  # `load_state_dict` writes into it

    @property
    def state(self) -> object | None:
        if not dataclasses.is_dataclass(self._blank) or isinstance(self._blank, type):
            return None
        return dataclasses.replace(self._blank, **dict(self.named_buffers()))

    def take(self, state: object | None) -> None:
        for name, tensor in _fields(state).items():
            self.register_buffer(name, tensor)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Moves nothing: where a state lives, and in which dtype, is the selection's business."""
        return self


def _generator() -> torch.Generator:
    """A generator for one call, seeded from torch's global stream, where evox's operators draw."""
    seed = int(torch.randint(2**63 - 1, (1,), device="cpu"))
    return torch.Generator("cpu").manual_seed(seed)


def host() -> AbstractContextManager[object]:
    """Inside, a tensor made with no device is on the CPU, whatever `torch.set_default_device`."""
    at_home = torch.get_default_device().type == "cpu"
    return nullcontext() if at_home else torch.device("cpu")


def _fields(state: object | None) -> dict[str, Tensor]:
    """The tensors of a state by name; none of None."""
    return {} if state is None else vars(state)


def check_size(pop_size: int, n_objs: int) -> None:
    """ValueError unless both are ints, pop_size >= 2 and n_objs >= 1."""
    for name, number, least in (("pop_size", pop_size, 2), ("n_objs", n_objs, 1)):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ValueError(
                f"Evolution got {name}={number!r}, expected an int of {least} or more."
            )


def _check_bounds(lb: Tensor, ub: Tensor) -> None:
    for bound in (lb, ub):
        if not isinstance(bound, Tensor) or bound.ndim != 1 or not bound.numel():
            came = tuple(bound.shape) if isinstance(bound, Tensor) else type(bound).__name__
            raise ValueError(
                f"Evolution got a bound {came}, expected a tensor (d,), a number a variable; "
                "use torch.zeros(d) and torch.ones(d) for the unit box."
            )
    if lb.shape != ub.shape or lb.dtype != ub.dtype or lb.device != ub.device:
        raise ValueError(
            f"Evolution got lb {tuple(lb.shape)} {lb.dtype} on {lb.device} and ub "
            f"{tuple(ub.shape)} {ub.dtype} on {ub.device}, expected the same; use ub.to(lb)."
        )


def _check_box(lb: Tensor, ub: Tensor) -> None:
    wrong = ~((lb < ub) & torch.isfinite(ub - lb))
    if bool(wrong.any()):
        i = int(wrong.int().argmax())
        raise ValueError(
            f"Evolution got lb={lb[i].item()} and ub={ub[i].item()} for variable {i} in "
            f"{lb.dtype}, expected lb < ub and a finite range; leave out what cannot vary."
        )


def _check_dtype(dtype: torch.dtype, own: bool) -> None:
    if not (dtype.is_floating_point or (dtype == torch.bool and own)):
        raise ValueError(
            f"Evolution got data_type={dtype}, expected a float dtype, or torch.bool with a "
            "mutation and a crossover of your own; the default ones are for real numbers."
        )


def _check_selection(selection: Selection, state: object | None, n: int, m: int) -> None:
    """Selects once, from NaN: the objectives must fit, and the state must be what comes back."""
    with host():
        costs = torch.full((2 * n, m), torch.nan)
        found = selection(costs, n, state=state, generator=torch.Generator("cpu")).state
    if type(found) is not type(state):
        raise ValueError(
            f"Evolution got a state of type {type(state).__name__}, but its selection returned "
            f"{type(found).__name__}, expected one type; pass the blank state of the selection."
        )
    for name, tensor in _fields(found).items():
        blank = _fields(state)[name]
        if tensor.shape != blank.shape or tensor.dtype != blank.dtype:
            raise ValueError(
                f"Evolution got a state with {name} {tuple(blank.shape)} {blank.dtype}, but its "
                f"selection returned {tuple(tensor.shape)} {tensor.dtype}, expected one shape "
                "and dtype for good; pass the blank state of the selection."
            )
