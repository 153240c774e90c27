"""Clients of ``/mcp`` that listen are told when the tools that they are shown change."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError
from mcp_place import REVISIONS, Numbered, key_of, served, settings

from codin.config import LimitSettings
from codin.gateway.mcp.changes import ToolChanges
from codin.security import LOCAL_USER, Principal
from codin.tool.base import ToolSpec

pytestmark = pytest.mark.slow

OTHER = Principal("acme", "olga")


class Heard:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.times = 0
        self.news = asyncio.Event()

    async def __call__(self) -> None:
        self.times += 1
        self.news.set()

    async def wait(self, seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            await self.news.wait()
        self.news.clear()


class Shown:
    """What each principal is shown."""

    def __init__(self) -> None:
        self.specs: dict[Principal, Sequence[ToolSpec]] = {}

    def __call__(self, principal: Principal) -> Sequence[ToolSpec]:
        return self.specs.get(principal, ())


async def test_many_changes_are_told_of_once_and_to_whom_they_concern() -> None:
    shown, mine, others = Shown(), Heard(), Heard()
    changes = ToolChanges(shown, settle_seconds=0.05)
    with changes.watched(LOCAL_USER, mine), changes.watched(OTHER, others):
        for number in range(20):
            shown.specs[LOCAL_USER] = [ToolSpec(name=f"tool_{number}")]
            changes.changed()
        await mine.wait()
        await asyncio.sleep(0.2)
        assert (mine.times, others.times) == (1, 0)
        changes.changed()  # the same as before
        await asyncio.sleep(0.2)
        assert (mine.times, others.times) == (1, 0)
        shown.specs[LOCAL_USER] = [ToolSpec(name="tool_19", description="Otherwise.")]
        changes.changed()
        await mine.wait()
    shown.specs[LOCAL_USER] = []
    changes.changed()
    await asyncio.sleep(0.2)
    assert (mine.times, others.times) == (2, 0)


async def test_one_that_fails_keeps_nobody_from_hearing(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise ConnectionError("gone")

    shown, heard = Shown(), Heard()
    changes = ToolChanges(shown, settle_seconds=0.01)
    with (
        caplog.at_level(logging.ERROR),
        changes.watched(LOCAL_USER, fails),
        changes.watched(LOCAL_USER, heard),
    ):
        shown.specs[LOCAL_USER] = [ToolSpec(name="new")]
        changes.changed()
        await heard.wait()
        assert "could not be told" in caplog.text
        shown.specs[LOCAL_USER] = []
        changes.changed()
        await changes.aclose()
        await asyncio.sleep(0.1)
        assert heard.times == 1


async def test_a_client_that_listens_is_told_of_its_own_tools(tmp_path: Path) -> None:
    async with served(settings(tmp_path, auth=True)) as place:
        ann = await key_of(place, "ann", "tool.call:*")
        bob = await key_of(place, "bob", "tool.call:add")
        heard: dict[str, int] = {"ann": 0, "bob": 0}
        listening = asyncio.Event()

        async def listen(name: str, key: str) -> None:
            async with place.client(REVISIONS[0], key) as client:
                assert client.server_capabilities.tools is not None
                assert client.server_capabilities.tools.list_changed is True
                async with client.listen(tools_list_changed=True) as changes:
                    listening.set()
                    async for _ in changes:
                        heard[name] += 1

        tasks = []
        for name, key in (("ann", ann), ("bob", bob)):
            listening.clear()
            tasks.append(asyncio.create_task(listen(name, key)))
            await asyncio.wait_for(listening.wait(), 20)
        for number in range(5):
            place.platform.tools.register(Numbered(f"late_{number}"))
        async with asyncio.timeout(10):
            while not heard["ann"]:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        assert heard == {"ann": 1, "bob": 0}
        async with place.client(REVISIONS[0], ann) as client:
            assert "late_4" in {tool.name for tool in (await client.list_tools()).tools}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(5):
            while place.platform.quota.open:
                await asyncio.sleep(0.05)


async def test_streams_of_changes_count_as_streams(tmp_path: Path) -> None:
    given = settings(tmp_path).model_copy(update={"limits": LimitSettings(streams=1)})
    async with (
        served(given) as place,
        place.client(REVISIONS[0]) as client,
        client.listen(tools_list_changed=True),
    ):
        with pytest.raises(MCPError, match="1 streams of yours are open"):
            async with client.listen(tools_list_changed=True):
                pass


ASKED = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "subscriptions/listen",
    "params": {
        "notifications": {"toolsListChanged": True},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": REVISIONS[0],
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    },
}
HEADERS = {
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": REVISIONS[0],
    "mcp-method": "subscriptions/listen",
}


async def test_who_listens_does_not_keep_the_platform_from_ending(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack, httpx2.AsyncClient(timeout=30) as http:
        place = await stack.enter_async_context(served(settings(tmp_path)))
        async with http.stream("POST", place.url, json=ASKED, headers=HEADERS) as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "event: message"
            assert "acknowledged" in await anext(lines)
            begun = time.monotonic()
            await stack.aclose()
            assert time.monotonic() - begun < 5


@pytest.mark.parametrize(("mode", "revision"), [("auto", REVISIONS[0]), ("legacy", REVISIONS[1])])
async def test_over_stdio_too(tmp_path: Path, mode: Any, revision: str) -> None:
    (tmp_path / "own.py").write_text(GROWING)
    (tmp_path / "codin.toml").write_text(
        f'home = "home"\n[mcp.own]\ncommand = ["{sys.executable}", "/own/own.py"]\n'
        'mounts = [{ source = "own.py", target = "/own/own.py" }]\n'
    )
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "codin", "mcp", "--config", str(tmp_path / "codin.toml")],
        env=dict(os.environ),
    )
    heard = Heard()

    async def message(one: Any) -> None:
        if isinstance(one, types.ToolListChangedNotification):
            await heard()

    async def listened(client: Client, ready: asyncio.Event) -> None:
        async with client.listen(tools_list_changed=True) as changes:
            ready.set()
            async for _ in changes:
                await heard()

    async with Client(server, mode=mode, message_handler=message) as client:
        assert client.protocol_version == revision
        assert client.server_capabilities.tools is not None
        assert client.server_capabilities.tools.list_changed is True
        before = {tool.name for tool in (await client.list_tools()).tools}
        listening = None
        if mode == "auto":
            ready = asyncio.Event()
            listening = asyncio.create_task(listened(client, ready))
            await asyncio.wait_for(ready.wait(), 10)
        await client.call_tool("own_learn", {"name": "late"})
        await heard.wait(20)
        after = {tool.name for tool in (await client.list_tools(cache_mode="refresh")).tools}
        assert after - before == {"own_late"}
        if listening is not None:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


GROWING = '''
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("own")


@server.tool()
async def learn(name: str, ctx: Context) -> str:
    """Have another tool from now on."""
    server.add_tool(lambda: name, name=name, description="Says its name.")
    await ctx.notify_tools_changed()
    return "learned"


server.run()
'''
