"""The servers that all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from codin.testing.postgres import PostgresServer

# What is true does not hang on how busy the machine is.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    from codin.testing.postgres import postgres_server  # only who asks for it needs a driver

    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def docker() -> Iterator[str]:
    """The address of a container engine that is only the tests'."""
    from codin.testing.docker import NoEngine, docker_engine

    try:
        with docker_engine() as address:
            yield address
    except NoEngine as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def podman() -> Iterator[str]:
    """The address of a Podman that is only the tests'."""
    from codin.testing.docker import NoEngine, podman_engine

    try:
        with podman_engine() as address:
            yield address
    except NoEngine as error:
        pytest.skip(str(error))
