"""What tests of the engine share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.evolve.engine.chaos.drivers import Zygote, zygote


@pytest.fixture(scope="package")
def drivers(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """A process that forks drivers: it imports torch and Ray once for all of them.

    After the session's cluster, whose start puts the mode of Ray's tokens into the environment:
    drivers and the clusters that they meet must agree on it.
    """
    with zygote(tmp_path_factory.mktemp("drivers")) as made:
        yield made


@pytest.fixture
def address(cluster: None) -> str:
    """Of the session's cluster: a driver that tests no Ray of its own need not start one."""
    import ray

    return str(ray.get_runtime_context().gcs_address)
