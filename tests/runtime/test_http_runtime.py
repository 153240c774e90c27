import pytest

from codin.errors import InvalidInputError
from codin.runtime import (
    Endpoint,
    EnvironmentSecrets,
    HttpRuntime,
    LocalRuntime,
    SecretRef,
    Service,
    UnsupportedWorkload,
)
from codin.runtime.secret import Redactor
from codin.testing._runtime_endpoint import serving
from codin.testing.runtime_conformance import SECRET, EndpointConformance

pytestmark = pytest.mark.slow

SECRETS = EnvironmentSecrets({"CODIN_SECRET_KEY": SECRET})


@pytest.fixture
async def runtime():
    runtime = HttpRuntime()
    yield runtime
    await runtime.close()


class TestHttpRuntime(EndpointConformance):
    @pytest.fixture
    async def runtime(self):
        runtime = HttpRuntime(private_endpoints=["127.0.0.1/32"], secrets=SECRETS)
        yield runtime
        await runtime.close()


@pytest.mark.slow  # the same caller as that of the HTTP runtime
class TestEndpointsOfTheLocalRuntime(EndpointConformance):
    @pytest.fixture
    async def runtime(self):
        runtime = LocalRuntime(private_endpoints=["127.0.0.1/32"], secrets=SECRETS)
        yield runtime
        await runtime.close()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/", "http://localhost:9/", "http://[::1]/", "http://10.1.2.3/"]
)
async def test_nothing_private_is_reached_unless_it_is_allowed(runtime, url):
    result = await runtime.run(Endpoint(url=url))
    assert result.failure.type_name == "PermissionDenied"


async def test_all_private_addresses_can_be_allowed():
    runtime = HttpRuntime(private_endpoints=True)
    for url in ("http://127.0.0.1:9/", "http://[::1]:9/"):
        assert (await runtime.run(Endpoint(url=url))).failure.type_name == "ConnectError"
    await runtime.close()


async def test_services_are_refused(runtime):
    with pytest.raises(UnsupportedWorkload, match="local, docker"):
        await runtime.deploy(Service(name="x", argv=("x",), run_dir="/tmp"))


async def test_headers_that_nobody_can_send(runtime):
    other = HttpRuntime(secrets=EnvironmentSecrets({"CODIN_SECRET_KEY": "hül"}))
    with pytest.raises(InvalidInputError, match="headers") as caught:
        await other.run(Endpoint(url="http://example.com/", auth=SecretRef("key")))
    assert "hül" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_run_sync():
    runtime = HttpRuntime(private_endpoints=True)
    result = runtime.run_sync(Endpoint(url="http://127.0.0.1:9/"))
    assert result.failure.type_name == "ConnectError"


async def test_a_secret_of_the_environment(monkeypatch):
    monkeypatch.setenv("CODIN_SECRET_MY_API_KEY", SECRET)
    runtime = HttpRuntime(private_endpoints=True)
    async with serving() as server:
        await runtime.run(Endpoint(url=f"{server.url}/whoami", auth=SecretRef("my-api.key")))
    assert server.asked[-1][1]["authorization"] == f"Bearer {SECRET}"
    await runtime.close()


@pytest.mark.parametrize("size", range(1, 14))
def test_a_secret_is_taken_out_wherever_a_piece_ends(size):
    text = b"se-secret-secsecret, secre"
    redactor = Redactor(b"secret")
    pieces = [redactor.feed(text[i : i + size]) for i in range(0, len(text), size)]
    assert b"".join([*pieces, redactor.rest()]) == text.replace(b"secret", b"[secret]")
