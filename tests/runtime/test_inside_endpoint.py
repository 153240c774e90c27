"""Endpoints that are called from inside a sandbox, as the Docker backend does it."""

import pytest

from codin.runtime import EnvironmentSecrets
from codin.runtime.docker import DockerRuntime
from codin.sandbox import LocalSandboxProvider
from codin.sandbox.network import ProxyRoom
from codin.testing.runtime_conformance import SECRET, EndpointConformance

pytestmark = pytest.mark.slow


class TestCallsFromInside(EndpointConformance):
    """The provider is the local one: the way out is the same."""

    @pytest.fixture
    async def runtime(self, server):
        private = ["127.0.0.1:9", server.url.removeprefix("http://")]
        provider = LocalSandboxProvider(network=ProxyRoom(private))
        secrets = EnvironmentSecrets({"CODIN_SECRET_KEY": SECRET})
        runtime = DockerRuntime(provider, private_endpoints=private, secrets=secrets)
        yield runtime
        await runtime.close()
        await provider.close()
