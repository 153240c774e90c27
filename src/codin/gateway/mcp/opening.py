"""The tools of the settings alone, for a client that calls them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from codin.config import Settings
from codin.database import open_database
from codin.gateway.mcp.face import ToolFace
from codin.gateway.sandboxes import open_sandboxes
from codin.gateway.team import Say
from codin.gateway.tools import open_sources
from codin.gateway.trust import open_trust
from codin.tool.execution.executor import ToolExecutor
from codin.tool.policies.policy import Policies
from codin.tool.registry import ToolRegistry


@asynccontextmanager
async def open_tools(settings: Settings, *, say: Say) -> AsyncIterator[ToolFace]:
    """The tools of ``settings`` alone, for a client that calls them. ``say`` is told what of them
    cannot be used.

    Raises:
        CodinError: a store cannot be opened.
    """
    async with AsyncExitStack() as stack:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        durability = settings.database.durability
        database = await open_database(settings.database_place, durability=durability)
        stack.push_async_callback(database.close)
        trust = await stack.enter_async_context(open_trust(settings, database))
        tools = ToolRegistry(trust.access.authorizer)
        provider, runtime, sandboxes = await open_sandboxes(stack, settings)
        sources = await stack.enter_async_context(
            open_sources(tools, settings, trust.guard, provider)
        )
        for problem in sources.problems:
            say(str(problem))
        policies = Policies(settings.policies)
        executor = ToolExecutor(tools, runtime=runtime, sandboxes=sandboxes, policies=policies)
        face = ToolFace(tools, executor, sandboxes=sandboxes, access=trust.access)
        stack.push_async_callback(face.aclose)
        yield face
