"""Calls of a tool of an MCP server over stdio: through the executor, and by a bare client."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

from codin.bench._pairs import MS, NotHere, Pair, timed, times_baseline, typical
from codin.bench._tool_calls import executor_of, grant_of

if TYPE_CHECKING:
    from mcp.client.session import ClientSession

    from codin.sandbox.base import SandboxProvider
    from codin.tool import Tool

_MOST_TIMES = 1.2
_PART = 5
_IN_A_TURN = 25
_NAME = "repeat"
_ARGUMENTS = {"text": "quick brown fox", "times": 2}
_EXPECTED = {"result": "quick brown foxquick brown fox"}
_SERVER = Path(__file__).with_name("_mcp_server.py")
_INSIDE = "/server.py"


class Effort(Protocol):
    """How often something is called in a round."""

    @property
    def calls(self) -> int:
        """Calls of a function; of a server's tool a fifth of them."""
        ...


@asynccontextmanager
async def mcp_calls(effort: Effort) -> AsyncIterator[list[Pair]]:
    """A call of a server's tool as an agent makes it, beside the SDK's own session with a server
    of its own: the same program, the same revision of the protocol.

    Raises:
        NotHere
    """
    if find_spec("mcp") is None:
        raise NotHere("the package mcp is not installed: pip install 'codin[platform]'")
    from codin.sandbox.local import LocalSandboxProvider

    provider = LocalSandboxProvider()
    try:
        support = await provider.probe()
        if not support.available:
            raise NotHere(support.reason)
        async with _registered(provider) as tool, _bare() as session:

            async def ours() -> Any:
                return await tool.invoke(**_ARGUMENTS)

            async def bare() -> Any:
                return (await session.call_tool(_NAME, _ARGUMENTS)).structured_content

            calls = min(effort.calls // _PART, _IN_A_TURN)
            yield [
                Pair(
                    "mcp stdio call",
                    "ms",
                    partial(typical, partial(timed, ours, _EXPECTED), calls, MS),
                    "mcp client",
                    partial(typical, partial(timed, bare, _EXPECTED), calls, MS),
                    times_baseline(_MOST_TIMES),
                    turns=effort.calls // _PART // calls,
                )
            ]
    finally:
        await provider.close()


@asynccontextmanager
async def _registered(provider: SandboxProvider) -> AsyncIterator[Tool]:
    """The tool as an agent holds it: its server runs in a sandbox, as a source of the platform's
    does."""
    from codin.sandbox.base import Mount
    from codin.tool.mcp import McpSource, SandboxedServer

    server = SandboxedServer(
        provider, (sys.executable, "-I", _INSIDE), "bench", mounts=(Mount(_SERVER, _INSIDE),)
    )
    source = McpSource("bench", server)
    try:
        tools = await source.open()
        with TemporaryDirectory() as folder:
            executor = executor_of(provider, Path(folder), tools)
            (tool,) = executor.bind(grant_of(tools))
            yield tool
    finally:
        await source.aclose()


@asynccontextmanager
async def _bare() -> AsyncIterator[ClientSession]:
    """The SDK's session with a server that it has started as a plain process."""
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    server = StdioServerParameters(command=sys.executable, args=["-I", str(_SERVER)])
    with open(os.devnull, "w", encoding="utf-8") as silent:  # noqa: ASYNC230
        async with stdio_client(server, silent) as streams, ClientSession(*streams) as session:
            await session.discover()
            await session.list_tools()
            yield session
