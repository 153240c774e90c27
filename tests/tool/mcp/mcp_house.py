"""Servers of MCP for tests, and agents' calls of their tools."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from tool_house import House

from codin.sandbox.base import Mount, SandboxProvider
from codin.tool import ToolOutcome
from codin.tool.mcp import McpSource, SandboxedServer

FOLDER = Path(__file__).parent
SERVERS = "/servers"


def python_server(provider: SandboxProvider, file: str, *arguments: str, **given: Any) -> Any:
    """A server of this folder, in a sandbox."""
    command = (sys.executable, f"{SERVERS}/{file}", *arguments)
    mounts = (Mount(FOLDER, SERVERS), *given.pop("mounts", ()))
    return SandboxedServer(
        provider, command, name=arguments[0] if arguments else "own", mounts=mounts, **given
    )


async def registered(house: House, source: McpSource) -> list[str]:
    """Open ``source``, and have the house's agents call its tools; gives their names."""
    tools = await source.open()
    refused = house.registry.replace(source.name, tools)
    assert refused == ()

    async def changed(now: Any) -> None:
        house.registry.replace(source.name, now)

    source.listen(changed)
    return [tool.spec.name for tool in tools]


async def called(house: House, name: str, /, **arguments: Any) -> ToolOutcome:
    """How a call of an agent ends."""
    return await house.executor.call(house.grant(), name, arguments)


def owners() -> set[asyncio.Task[Any]]:
    """The tasks that own a connection now."""
    return {task for task in asyncio.all_tasks() if task.get_name().startswith("mcp ")}
