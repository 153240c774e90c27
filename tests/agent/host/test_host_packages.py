"""Hosts with packages of their own: in other versions than the platform's, and nothing else."""

from __future__ import annotations

import importlib.metadata
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from host_platform import Platform, platform

from codin.agent.events import Completed
from codin.agent.host.packages import Environment, own_requirements
from codin.agent.host.wire import HostStartError

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

VERSIONS = str(Path(__file__).with_name("versions.py"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncIterator[Platform]:
    with tempfile.TemporaryDirectory("", "cd-") as folder:
        async with platform(Path(folder)) as made:
            yield made


async def test_an_agent_has_the_versions_that_it_names(place: Platform) -> None:
    named = await place.hosts.start(
        [VERSIONS],
        environment=Environment(
            (
                "mcp<2",
                "openai<3",
            )
        ),
    )
    plain = await place.hosts.start([VERSIONS])
    seen = {}
    for key, host in (("named", named), ("plain", plain)):
        outcome = await place.run(host.agents[0], "mcp openai a2a-sdk langgraph codin")
        assert outcome.end == Completed()
        seen[key] = dict(line.split() for line in outcome.text.splitlines())
    assert seen["named"]["mcp"].startswith("1.")
    assert seen["named"]["openai"].startswith("2.")
    assert seen["named"]["langgraph"] == "-"
    assert seen["named"]["python"] == str(sys.version_info.minor)
    assert seen["named"]["a2a-sdk"] >= "1.3"
    assert seen["plain"]["langgraph"] == importlib.metadata.version("langgraph")


async def test_what_cannot_be_had_is_said(place: Platform) -> None:
    with pytest.raises(HostStartError, match="no-such-package-of-anybody"):
        await place.hosts.start(
            [VERSIONS], environment=Environment(("no-such-package-of-anybody",))
        )


async def test_what_contradicts_a_host_is_said(place: Platform) -> None:
    with pytest.raises(HostStartError, match="a2a-sdk"):
        await place.hosts.start([VERSIONS], environment=Environment(("a2a-sdk<1",)))


async def test_a_host_needs_codin_s_base_only() -> None:
    names = own_requirements()
    assert any(line.startswith("a2a-sdk") for line in names)
    assert not any("grpcio" in line or "langgraph" in line for line in names)
