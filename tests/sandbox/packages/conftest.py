import pytest

from codin.sandbox import LocalSandboxProvider
from codin.sandbox.packages import PackageLayers

from .wheels import serving


@pytest.fixture(autouse=True)
def _no_second_tries(monkeypatch):
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")


@pytest.fixture
def index(tmp_path):
    (tmp_path / "index").mkdir()
    with serving(tmp_path / "index") as index:
        yield index


@pytest.fixture
def layers(tmp_path, index):
    layers = PackageLayers(tmp_path / "layers", index=index.url, build_seconds=60)
    yield layers
    layers.close()


@pytest.fixture
async def provider(layers):
    provider = LocalSandboxProvider(layers=layers)
    yield provider
    await provider.close()
