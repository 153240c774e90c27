"""The tools of the settings: those of the files that are named, commands, and those of sources."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from codin.config import McpSettings, SecretSettings, Settings
from codin.errors import CodinError
from codin.gateway.commands import CommandPackages, register_commands
from codin.gateway.team import TeamProblem
from codin.sandbox.base import MIB, Mount, SandboxProvider
from codin.security import LOCAL_USER, OutgoingGuard
from codin.tool.base import ToolError
from codin.tool.builtin import builtin_tools
from codin.tool.finding.granted import Wanted
from codin.tool.functions.function import FunctionTool
from codin.tool.invocation import RunnableTool
from codin.tool.registry import ToolRegistry
from codin.tool.source import ToolSource

if TYPE_CHECKING:
    from codin.tool.mcp import Endpoint


class ToolLoadError(CodinError):
    """A file of tools cannot be used; the message says why."""


class SourceTools:
    """The tools of one source, kept in the registry as they are now."""

    def __init__(self, source: ToolSource, registry: ToolRegistry) -> None:
        self.problems: list[TeamProblem] = []
        self._source = source
        self._registry = registry
        self._place = f"tools of {source.name}"
        self._closed = False

    async def open(self) -> None:
        """Register them. What goes wrong is among the problems."""
        self._source.listen(self._register)
        try:
            tools = await self._source.open()
        except CodinError as error:
            self.problems = [TeamProblem(self._place, str(error))]
        else:
            await self._register(tools)

    async def aclose(self) -> None:
        """Take them out of the registry, and close the source."""
        self._closed = True
        self._registry.replace(self._source.name, ())
        await self._source.aclose()

    async def _register(self, tools: Sequence[RunnableTool]) -> None:
        # Thousands of schemas take seconds, in which nobody else would be served.
        await asyncio.to_thread(self._registry.prepare, tools)
        if self._closed:
            return
        refused = self._registry.replace(self._source.name, tools, source=self._place)
        told = [*self._source.problems, *map(str, refused)]
        self.problems = [TeamProblem(self._place, one) for one in told]


class Sources:
    """The sources of the settings. ``left_out`` is what else of the settings is no tool."""

    def __init__(
        self,
        members: Sequence[SourceTools | CommandPackages],
        left_out: Sequence[TeamProblem] = (),
    ) -> None:
        self._members = members
        self._left_out = left_out

    @property
    def problems(self) -> tuple[TeamProblem, ...]:
        """What of them cannot be used now; the others can."""
        told = (problem for member in self._members for problem in member.problems)
        return (*self._left_out, *told)


def register_tools(registry: ToolRegistry, settings: Settings) -> list[TeamProblem]:
    """Register the built-in tools and those of the files of ``settings``; gives what is wrong with
    them."""
    for tool in builtin_tools():
        registry.register(tool)
    files = list(_register_files(registry, settings.tools, settings.secrets))
    return [*files, *_without_secrets(registry)]


@asynccontextmanager
async def open_sources(
    registry: ToolRegistry, settings: Settings, guard: OutgoingGuard, provider: SandboxProvider
) -> AsyncIterator[Sources]:
    """Registers the built-in tools, those of the files and the commands of the settings, and those
    of their sources until the block is left. What cannot be used is among the problems.

    Sources are opened beside each other; ``provider`` gives the sandboxes of those that run in one.
    """
    left_out = (*register_tools(registry, settings), *register_commands(registry, settings))
    registry.reserve((*settings.openapi, *settings.mcp))
    members: list[SourceTools | CommandPackages] = [
        CommandPackages(settings, provider),
        *(SourceTools(one, registry) for one in _sources(settings, guard, provider)),
    ]
    async with AsyncExitStack() as stack:
        for member in members:
            stack.push_async_callback(member.aclose)
        await asyncio.gather(*(member.open() for member in members))
        yield Sources(members, left_out)


def _register_files(
    registry: ToolRegistry, files: Sequence[Path], secrets: Mapping[str, SecretSettings]
) -> Iterator[TeamProblem]:
    """Register the tools of ``files``, each with those of ``secrets`` that it may have."""
    for file in files:
        try:
            tools = _tools_of(file)
        except ToolLoadError as error:
            yield TeamProblem(str(file), str(error))
            continue
        for tool in tools:
            given = {
                name: secret
                for name, secret in secrets.items()
                if Wanted.of(frozenset(secret.tools)).has(tool.name)
            }
            try:
                registry.register(tool.with_secrets(given), source=str(file))
            except ToolError as error:
                yield TeamProblem(str(file), str(error))


def _without_secrets(registry: ToolRegistry) -> Iterator[TeamProblem]:
    for tool in registry.list(LOCAL_USER):
        if isinstance(tool, FunctionTool) and tool.not_given:
            yield TeamProblem(registry.source(LOCAL_USER, tool.name), tool.not_given)


def _sources(
    settings: Settings, guard: OutgoingGuard, provider: SandboxProvider
) -> Iterator[ToolSource]:
    if settings.openapi:
        from codin.tool.openapi import OpenApiSource
    for name, api in settings.openapi.items():
        yield OpenApiSource(
            name,
            api.document,
            operations=api.operations,
            server=api.server,
            variables=api.variables,
            credentials=api.credentials,
            guard=guard,
            budget=api.schema_chars,
        )
    if settings.mcp:
        from codin.tool.mcp import McpSource
    for name, server in settings.mcp.items():
        yield McpSource(
            name,
            _endpoint(name, server, guard, provider),
            tools=server.tools,
            per=server.per,
            seconds=server.seconds,
            attempts=server.attempts,
            start_seconds=server.start_seconds,
            schema_chars=server.schema_chars,
            accept_changes=server.accept_changes,
        )


def _endpoint(
    name: str, server: McpSettings, guard: OutgoingGuard, provider: SandboxProvider
) -> Endpoint:
    from codin.tool.mcp import SERVER_LIMITS, HttpServer, SandboxedServer

    if server.url is not None:
        return HttpServer(server.url, guard, server.headers, server.token)
    return SandboxedServer(
        provider,
        server.command,
        name,
        server.requirements,
        server.env,
        tuple(Mount(one.source, one.target, writable=one.writable) for one in server.mounts),
        replace(SERVER_LIMITS, memory_bytes=server.memory_mb * MIB, network=server.network),
    )


def _tools_of(file: Path) -> list[FunctionTool]:
    module = _import(file)
    found = [value for value in vars(module).values() if isinstance(value, FunctionTool)]
    own = [tool for tool in found if tool.__module__ == module.__name__]
    if not own:
        raise ToolLoadError("it has no tool: mark its functions with @codin.tool")
    return own


def _import(file: Path) -> ModuleType:
    name = f"codin_tools_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file) if file.is_file() else None
    if spec is None or spec.loader is None:
        raise ToolLoadError("there is no such Python file: mend its path in codin.toml")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a script may end itself
        del sys.modules[name]
        kind = "" if isinstance(error, ToolError) else f"{type(error).__name__}: "
        raise ToolLoadError(f"it does not import: {kind}{error}") from error
    return module
