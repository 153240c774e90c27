"""The servers that all tests share."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from codin.testing.postgres import PostgresServer

# What is true does not hang on how busy the machine is.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

_ALONE = frozenset({Path("bench"), Path("sandbox", "test_escapes.py")})
"""What measures times; all other tests hold on a machine that does something else beside."""
_ALL_SLOW = re.compile(r"^pytestmark = (\[[^\]]*)?pytest\.mark\.slow\b", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Modules that are slow as a whole are not imported where slow tests are left out: each of the
    processes of `make test-fast` would take ten seconds to import what nobody asks for."""
    if "not slow" not in config.option.markexpr.split(" and ") or collection_path.suffix != ".py":
        return None
    return True if _ALL_SLOW.search(collection_path.read_text("utf-8")) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is not to be run beside other tests."""
    here = Path(__file__).parent
    for item in items:
        if _ALONE & {*item.path.relative_to(here).parents, item.path.relative_to(here)}:
            item.add_marker("alone")


@pytest.fixture(autouse=True)
def _own_connections() -> None:
    """LangChain keeps one client for all models at an address, with its open connections. An
    address may come again, of another test's server, when the loop of these has been closed."""
    if loaded := sys.modules.get("langchain_openai.chat_models._client_utils"):
        loaded._cached_async_httpx_client.cache_clear()


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
