"""The service that the tests of a module share, and a sandbox of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from e2b import AsyncSandbox, Sandbox
from e2b_code_interpreter import Sandbox as Interpreter
from e2b_service import Service, running


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("home")) as service:
        yield service


@pytest.fixture(scope="module")
def shared(service: Service) -> Iterator[Sandbox]:
    """A sandbox that the tests of a module share."""
    with Sandbox.create(**service.options) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def interpreter(service: Service) -> Iterator[Interpreter]:
    with Interpreter.create(**service.options) as sandbox:
        yield sandbox


@pytest.fixture
async def aio(service: Service, shared: Sandbox) -> AsyncSandbox:
    return await AsyncSandbox.connect(shared.sandbox_id, **service.options)
