"""Addresses that lead nowhere: one clear error, soon."""

from __future__ import annotations

import socket

import pytest

from evolve.engine.cluster.connect import connect
from evolve.errors import WorkerError
from evolve.score import Needs


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1", "ray://127.0.0.1", ":x", "host:"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(WorkerError, match=r"cannot be reached at .*not auto and not HOST:PORT"):
        connect(address, 1, [Needs()])


def test_a_port_where_nothing_listens_is_refused() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(WorkerError, match=rf"127\.0\.0\.1:{port}: .*refused.*--workers 0"):
        connect(f"127.0.0.1:{port}", 1, [Needs()])
