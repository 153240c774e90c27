"""The network of a real host: what its entry names, and nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from host_platform import Platform, platform

from codin.agent.events import Completed, Failed
from codin.agent.host import AgentHost
from codin.errors import InvalidInputError
from codin.sandbox import LocalSandboxProvider
from codin.sandbox.network import ProxyRoom
from codin.testing.small_server import SmallServer, small_server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

PUPPET = Path(__file__).with_name("puppet.py")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[SmallServer]:
    async with small_server() as serving:
        yield serving


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(server: SmallServer) -> AsyncIterator[Platform]:
    async def resolve(name: str, port: int) -> list[str]:
        return ["127.0.0.1"] if name == "api.test" else []

    room = ProxyRoom([f"127.0.0.1:{server.port}"], resolve=resolve)
    provider = LocalSandboxProvider(network=room)
    with tempfile.TemporaryDirectory("", "cd-") as folder:
        async with platform(Path(folder), provider=provider) as made:
            yield made
    await provider.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(place: Platform, server: SmallServer) -> AgentHost:
    return await place.hosts.start([str(PUPPET)], network=[f"api.test:{server.port}"])


async def test_an_agent_reaches_what_its_entry_names(
    place: Platform, host: AgentHost, server: SmallServer
) -> None:
    outcome = await place.run(host.agents[0], f"fetch http://api.test:{server.port}/agent")
    assert (outcome.end, outcome.text) == (Completed(), "hello from /agent")


async def test_a_refused_connection_says_the_line_to_add(
    place: Platform, host: AgentHost, server: SmallServer
) -> None:
    outcome = await place.run(host.agents[0], "fetch https://other.test/")
    assert isinstance(outcome.end, Failed)
    line = f'network = ["api.test:{server.port}", "other.test:443"]'
    assert line in outcome.end.message
    assert outcome.end.message.count(line) == 1


async def test_it_is_said_also_where_the_agent_keeps_the_reason_to_itself(
    place: Platform, host: AgentHost, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = await place.run(host.agents[0], "lose https://lost.test/")
    assert isinstance(outcome.end, Failed)
    assert outcome.end.message.startswith("no reason is given")
    assert '"lost.test:443"]' in outcome.end.message
    assert "lost.test:443" in {refusal.target for refusal in host.refusals}
    told = [record for record in caplog.records if record.name == "codin.sandbox.network"]
    assert [record.getMessage().startswith("sandbox puppet: lost.test:443") for record in told]
    again = await place.run(host.agents[0], "lose https://lost.test/")
    assert isinstance(again.end, Failed)
    assert '"lost.test:443"]' in again.end.message
    unconcerned = await place.run(host.agents[0], "fail")
    assert isinstance(unconcerned.end, Failed)
    assert unconcerned.end.message == "I was told to fail"


async def test_models_are_reached_beside_it(place: Platform, host: AgentHost) -> None:
    assert (await place.run(host.agents[0], "ask what is it")).text == "forty-two"


async def test_no_other_route_is_there(place: Platform, host: AgentHost) -> None:
    outcome = await place.run(host.agents[0], "connect 1.1.1.1 443")
    assert outcome.text.startswith("refused:")


async def test_a_host_without_entries_is_told_too(place: Platform) -> None:
    alone = await place.hosts.start([str(PUPPET)], name="alone")
    outcome = await place.run(alone.agents[0], "fetch http://api.test/")
    assert 'network = ["api.test:80"]' in outcome.text  # of plain http it is the answer
    assert [refusal.target for refusal in alone.refusals] == ["api.test:80"]
    assert alone.refusals[0].reason.endswith('network = ["api.test:80"]')


async def test_an_entry_that_is_none_is_refused_before_anything_starts(place: Platform) -> None:
    with pytest.raises(InvalidInputError, match="the network allows host:port"):
        await place.hosts.start([str(PUPPET)], network=["https://api.test"])
