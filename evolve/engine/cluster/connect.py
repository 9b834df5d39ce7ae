"""Reaching Ray: a cluster of our own on this machine, or one at an address. Knows no worker."""

from __future__ import annotations

import logging
import math
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evolve.errors import WorkerError
from evolve.score import Needs

MEND = (
    "Start it (`ray start --head`), mend the address, or use `--workers 0` to run in this process."
)


def connect(address: str | None, count: int, needs: Sequence[Needs]) -> None:
    """Start a Ray for this run on this machine (None), or join the one at `address`.

    Raises `WorkerError`.
    """
    import ray

    if address is None and not os.access(Path.home(), os.W_OK):
        # Ray 2.60 writes a token below HOME even for a cluster of one process tree.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    local = address is None
    if address is not None and address != "auto":
        _reach(address)
    # Ray prints what its nodes log, such as another node's death, on the driver's stdout whatever
    # `log_to_driver` says (2.60); this is the only switch that holds once ray is imported.
    worker: Any = ray._private.worker
    worker._worker_logs_enabled = False
    most = max(each.cpus for each in needs)
    cpus = max(os.cpu_count() or 1, math.ceil(count * most)) if local else None
    try:
        ray.init(
            address="local" if local else address,
            num_cpus=cpus,
            resources=_times(needs, count) if local else None,
            include_dashboard=False if local else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = "on this machine" if address is None else f"at {address}"
        raise WorkerError(f"Ray cannot be reached {where}: {error}. {MEND}") from error


def _times(needs: Sequence[Needs], count: int) -> dict[str, float]:
    """Custom resources of a cluster of our own: as many as our workers take."""
    found: dict[str, float] = {}
    for name, amount in [pair for each in needs for pair in each.custom.items()]:
        found[name] = max(found.get(name, 0.0), amount * count)
    return found


def _reach(address: str) -> None:
    """Raise `WorkerError` if nothing listens: ray.init would wait for minutes."""
    host, _, port = address.rpartition(":")
    try:
        if not host or not port.isdecimal():
            raise OSError("not auto and not HOST:PORT")
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise WorkerError(f"Ray cannot be reached at {address}: {error}. {MEND}") from error
