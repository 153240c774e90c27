import pytest

from codin.sandbox import LocalSandboxProvider, SandboxSpec


@pytest.fixture
async def provider():
    provider = LocalSandboxProvider()
    yield provider
    await provider.close()


@pytest.fixture
async def sandbox(provider):
    async with await provider.create(SandboxSpec()) as sandbox:
        yield sandbox
