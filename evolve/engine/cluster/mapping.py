"""A parallel map: a function over items, in this process or in processes of a Ray cluster.

The function and its items are pickled, so the function lives in an installed module. Results do
not depend on the number of workers as long as the function's do not depend on the process: each
has one thread. Knows no genome and no fitness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from evolve.engine.cluster.connect import connect
from evolve.engine.cluster.evaluator import home
from evolve.engine.cluster.nodes import check_feasible, living
from evolve.engine.cluster.verdict import plain
from evolve.engine.unfold import own_sha256, same_evolve
from evolve.engine.workers import pinned, threads_pinned
from evolve.errors import EvolveError, WorkerError
from evolve.score import Needs

T = TypeVar("T")
R = TypeVar("R")

ATTEMPTS = 3


def spread(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int,
    address: str | None = None,
) -> Iterator[tuple[int, R]]:
    """(i, `function` of the i-th item), as they come.

    `workers` 0: in this process, one after another. Else that many at a time on Ray, each of one
    CPU: on the cluster at `address`, or on one of our own that ends with the iteration; a process
    that is connected stays connected. `items` is read one ahead of what runs. An item whose
    worker is lost is tried again, three times in all, then `WorkerError`; what the function
    raises is raised here, at once.
    """
    if workers < 0:
        raise WorkerError(f"spread got {workers} workers; give 0 (this process) or more.")
    return _on_ray(function, items, workers, address) if workers else _here(function, items)


def _here(function: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[int, R]]:
    for i, item in enumerate(items):
        with threads_pinned():
            result = function(item)
        yield i, result


def _on_ray(
    function: Callable[[T], R], items: Iterable[T], workers: int, address: str | None
) -> Iterator[tuple[int, R]]:
    import ray

    owns = not ray.is_initialized()
    if owns:
        connect(address, workers, [Needs()])
    running: dict[Any, tuple[int, Any, int]] = {}  # reference -> (i, the item's own, attempts)
    try:
        check_feasible(Needs(), list(living().values()))
        put: Any = ray.put
        wait: Any = ray.wait
        answer: Any = ray.remote(_answer)
        answer = answer.options(
            num_cpus=1, max_retries=0, runtime_env={"env_vars": dict(pinned(1))}
        )

        def start(i: int, item: Any, attempts: int) -> None:
            reference = answer.remote(home(), own_sha256(), function, item)
            running[reference] = (i, item, attempts)

        queue = enumerate(items)
        ahead = next(queue, None)
        while running or ahead is not None:
            while ahead is not None and len(running) < workers:
                start(ahead[0], put(ahead[1]), 1)
                ahead = next(queue, None)  # made while the others run
            done, _ = wait(list(running), num_returns=1)
            i, item, attempts = running.pop(done[0])
            lost = _lost(done[0])
            if lost is None:
                yield i, _got(done[0])
            elif attempts < ATTEMPTS:
                start(i, item, attempts + 1)
            else:
                raise WorkerError(
                    f"Item {i} lost its worker {ATTEMPTS} times, at last: {lost}. Give workers "
                    "more memory or fewer of them, or use `--workers 0`."
                )
    finally:
        cancel: Any = ray.cancel
        for reference in running:
            cancel(reference, force=True)
        if owns:
            ray.shutdown()


def _answer(home_of_driver: str, sha256: str, function: Callable[[T], R], item: T) -> object:
    """In a worker: the result, or the `EvolveError` raised: Ray would put a traceback around."""
    if home() != home_of_driver:  # the driver's own files may be edited while it runs
        same_evolve(sha256)
    try:
        return function(item)
    except EvolveError as error:
        return error


def _lost(reference: Any) -> str | None:
    """Why there is no answer, in Ray's words; None if there is one, be it an exception."""
    import ray

    get: Any = ray.get
    try:
        get(reference)
    except ray.exceptions.RayTaskError:
        return None
    except ray.exceptions.RayError as error:
        return plain(str(error))
    return None


def _got(reference: Any) -> Any:
    import ray

    get: Any = ray.get
    result = get(reference)
    if isinstance(result, EvolveError):
        raise result
    return result
