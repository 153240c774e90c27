"""The local sandbox keeps the contract, as whoever runs the tests."""

import pytest

from codin.sandbox import LocalSandboxProvider
from codin.testing.sandbox_conformance import SandboxConformance


class TestLocalSandbox(SandboxConformance):
    @pytest.fixture
    async def provider(self):
        provider = LocalSandboxProvider()
        yield provider
        await provider.close()
