"""How many workers nodes hold, by an oracle that places them one by one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.engine.cluster.nodes import check_feasible, demand, fit, left, living
from evolve.errors import WorkerError
from evolve.score import Needs

SMALL = st.integers(0, 4).map(float)
NODES = st.lists(st.fixed_dictionaries({"CPU": SMALL, "GPU": SMALL}), max_size=3)


@given(nodes=NODES, cpus=st.sampled_from([0.5, 1.0, 2.0, 3.0]), gpus=st.sampled_from([0, 0.5, 1]))
def test_as_many_fit_as_can_be_placed_one_by_one(
    nodes: list[dict[str, float]], cpus: float, gpus: float
) -> None:
    free, placed = [dict(node) for node in nodes], 0
    while room := [n for n in free if n["CPU"] >= cpus and n["GPU"] >= gpus]:
        room[0]["CPU"] -= cpus
        room[0]["GPU"] -= gpus
        placed += 1
    assert fit(Needs(cpus=cpus, gpus=gpus), nodes) == placed


def test_tenths_of_a_processor_add_up() -> None:
    assert fit(Needs(cpus=0.1), [{"CPU": 1.0}]) == 10


def test_who_needs_nothing_always_fits() -> None:
    assert fit(Needs(cpus=0), []) == math.inf


def test_what_is_taken_is_left_out() -> None:
    nodes = [{"CPU": 4.0, "tpu": 2.0}, {"CPU": 2.0}]
    taken = [(Needs(cpus=1.5), 2), (Needs(cpus=0, custom={"tpu": 0.5}), 3)]
    assert left(nodes, taken) == {"CPU": 3.0, "tpu": 0.5}


def test_demand_leaves_out_what_is_not_needed() -> None:
    needs = Needs(cpus=0, gpus=0.25, memory=1 << 30, custom={"tpu": 2.0})
    assert demand(needs) == {"GPU": 0.25, "memory": float(1 << 30), "tpu": 2.0}
    assert demand(Needs()) == {"CPU": 1.0}


def test_what_no_node_holds_is_refused_with_what_there_is() -> None:
    nodes = [{"CPU": 4.0}, {"CPU": 1.0, "GPU": 1.0}]
    check_feasible(Needs(cpus=1, gpus=1), nodes)
    with pytest.raises(WorkerError, match=r"needs 2 CPU, 1 GPU; no node .*4 CPU, 1 GPU.*--elas"):
        check_feasible(Needs(cpus=2, gpus=1), nodes)
    with pytest.raises(WorkerError, match=r"needs 1 CPU, 1 tpu.*0 tpu"):
        check_feasible(Needs(custom={"tpu": 1.0}), nodes)


@pytest.mark.ray
@pytest.mark.usefixtures("cluster")
def test_the_living_nodes_are_ray_s() -> None:
    import ray

    (resources,) = living().values()
    assert resources["CPU"] == 4.0
    assert ray.get_runtime_context().get_node_id() in living()
