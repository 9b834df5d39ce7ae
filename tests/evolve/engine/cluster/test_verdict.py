"""Ray's errors, as they really come, and the kinds they mean."""

from __future__ import annotations

import os

import pytest

from evolve.engine.cluster.evaluator import Place
from evolve.engine.cluster.verdict import end_of, plain
from evolve.failure import Failure

pytestmark = pytest.mark.ray


class Frail:
    """An actor that ends."""

    def ready(self) -> str:
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def end(self) -> None:
        os._exit(3)


@pytest.mark.usefixtures("cluster")
def test_a_process_that_ends_is_a_worker_lost() -> None:
    import ray

    actor = ray.remote(Frail).options(max_restarts=0).remote()  # type: ignore[attr-defined]
    node = ray.get(actor.ready.remote())
    with pytest.raises(ray.exceptions.RayError) as raised:
        ray.get(actor.end.remote())
    kind, words = end_of(raised.value, Place(1, node, "here"))
    assert kind is Failure.WORKER_LOST
    assert "worker process has died" in words
    # The same error, but the node is no longer among the living.
    assert end_of(raised.value, Place(1, "f" * 56, "here"))[0] is Failure.NODE_LOST


@pytest.mark.usefixtures("cluster")
def test_ray_s_own_words_tell_a_node_and_memory() -> None:
    import ray

    class Died(ray.exceptions.RayError):
        pass

    lost = Died("The actor died because its node has died. Node Id: f0")
    assert end_of(lost, None)[0] is Failure.NODE_LOST
    assert end_of(ray.exceptions.OutOfMemoryError("x"), None)[0] is Failure.OUT_OF_MEMORY


def test_colours_are_taken_out() -> None:
    assert plain("\x1b[36mray::Evaluator\x1b[39m (pid=1)\n") == "ray::Evaluator (pid=1)"
