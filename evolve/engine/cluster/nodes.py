"""What a cluster can hold: nodes as resources, and how many workers fit. Knows no actor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from evolve.errors import WorkerError
from evolve.score import Needs

Resources: TypeAlias = Mapping[str, float]


def demand(needs: Needs) -> dict[str, float]:
    """What one worker takes, by Ray's names; what it does not need is left out."""
    every = {"CPU": needs.cpus, "GPU": needs.gpus, "memory": float(needs.memory), **needs.custom}
    return {name: amount for name, amount in every.items() if amount}


def living() -> dict[str, Resources]:
    """The resources of every living node, by its id."""
    import ray

    nodes: Any = ray.nodes
    return {node["NodeID"]: node["Resources"] for node in nodes() if node["Alive"]}


def fit(needs: Needs, nodes: Sequence[Resources]) -> float:
    """How many workers of `needs` these nodes hold if nothing else runs; inf if they need none."""
    asked = demand(needs)
    if not asked:
        return math.inf
    return sum(
        min(math.floor(node.get(name, 0.0) / each + 1e-9) for name, each in asked.items())
        for node in nodes
    )


def left(nodes: Sequence[Resources], taken: Sequence[tuple[Needs, int]]) -> dict[str, float]:
    """The cluster's resources in all, less `taken`: (needs of one worker, workers)."""
    total: dict[str, float] = {}
    for node in nodes:
        for name, amount in node.items():
            total[name] = total.get(name, 0.0) + amount
    for needs, n in taken:
        for name, each in demand(needs).items():
            total[name] = total.get(name, 0.0) - n * each
    return total


def check_feasible(needs: Needs, nodes: Sequence[Resources]) -> None:
    """Raise `WorkerError` if no node can hold even one worker of `needs`."""
    if fit(needs, nodes) >= 1:
        return
    asked = ", ".join(f"{amount:g} {name}" for name, amount in demand(needs).items())
    best = {
        name: max((node.get(name, 0.0) for node in nodes), default=0.0) for name in demand(needs)
    }
    there = ", ".join(f"{amount:g} {name}" for name, amount in best.items())
    raise WorkerError(
        f"A worker needs {asked}; no node of the cluster has that (at most {there}). Lower the "
        "Needs, start a node that has it, or say `--elastic` if one will come."
    )


def ask_autoscaler(wanted: Sequence[tuple[Needs, int]]) -> None:
    """Tell an autoscaler, if there is one, what we would like to have; [] takes it back."""
    from ray.autoscaler.sdk import request_resources

    bundles = [demand(needs) for needs, n in wanted for _ in range(n) if demand(needs)]
    request_resources(bundles=bundles)
