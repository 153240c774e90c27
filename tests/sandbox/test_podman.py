"""Podman, by Docker's API: the same sandboxes, with a service of the tests' own.

All of the contract is tried with Docker; here it is what an engine has to do for it. The whole
suite runs with ``CODIN_TEST_PODMAN=whole`` (as ``make prove`` does).
"""

import os

import pytest

from codin.sandbox import SandboxSpec
from codin.sandbox.docker import DockerSandboxProvider
from codin.testing.sandbox_conformance import (
    IsolationConformance,
    LimitConformance,
    SandboxConformance,
)

pytestmark = pytest.mark.slow

WHOLE = os.environ.get("CODIN_TEST_PODMAN") == "whole"


class Short(LimitConformance, IsolationConformance):
    """What differs between engines."""


class TestPodman(SandboxConformance if WHOLE else Short):
    hundred_seconds = 600.0

    @pytest.fixture
    async def provider(self, podman):
        provider = DockerSandboxProvider(podman, base="host")
        yield provider
        await provider.close()


async def test_nothing_is_left(podman):
    provider = DockerSandboxProvider(podman, base="host")
    async with await provider.create(SandboxSpec()) as sandbox:
        assert (await sandbox.run_code("6 * 7")).value == "42"
    async with provider._engine.asked("list its containers") as client:
        assert await client.containers.list(all=True) == []
    await provider.close()
