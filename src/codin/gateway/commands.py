"""The commands of the settings as tools, and the packages that they need."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from codin.config import CommandSettings, Settings
from codin.gateway.team import TeamProblem
from codin.sandbox.base import SandboxProvider, SandboxSpec
from codin.sandbox.errors import SandboxError
from codin.tool.base import ToolError
from codin.tool.commands.argv import Argument
from codin.tool.commands.command import CommandTool, command_limits
from codin.tool.registry import ToolRegistry

_PATIENCE_SECONDS = 30.0


class CommandPackages:
    """Has the packages of commands got before one is called: getting them may take longer than a
    call may. ``problems`` says of which commands they cannot be had, or are still being got."""

    def __init__(self, settings: Settings, provider: SandboxProvider) -> None:
        self._wanted = {
            name: command.requirements
            for name, command in settings.commands.items()
            if command.requirements
        }
        self._provider = provider
        self._tasks: list[asyncio.Task[None]] = []
        self._problems: dict[str, str] = {}

    @property
    def problems(self) -> list[TeamProblem]:
        """Those of now."""
        return [TeamProblem(f"commands.{name}", said) for name, said in self._problems.items()]

    async def open(self) -> None:
        """Begin with all of them; returns when they are there, or after half a minute."""
        for name in self._wanted:
            self._problems[name] = "its packages are still being got"
            self._tasks.append(asyncio.create_task(self._get(name), name=f"packages of {name}"))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_PATIENCE_SECONDS)

    async def aclose(self) -> None:
        """Leave what is not there yet."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _get(self, name: str) -> None:
        spec = SandboxSpec(requirements=self._wanted[name], name=f"packages of {name}")
        try:
            sandbox = await self._provider.create(spec)
        except SandboxError as error:
            self._problems[name] = str(error)
        else:
            await asyncio.shield(sandbox.kill())
            del self._problems[name]


def register_commands(registry: ToolRegistry, settings: Settings) -> Iterator[TeamProblem]:
    """Register the commands of ``settings``; gives what is wrong with those that cannot be had."""
    for name, command in settings.commands.items():
        try:
            registry.register(_command(name, command), source=f"commands.{name}")
        except ToolError as error:
            yield TeamProblem(f"commands.{name}", str(error))


def _command(name: str, command: CommandSettings) -> CommandTool:
    arguments = {
        each: Argument(given.json_schema, given.optional, given.dashes, given.flag)
        for each, given in command.arguments.items()
    }
    return CommandTool(
        name,
        command.argv,
        arguments,
        description=command.description,
        stdin=command.stdin,
        output=command.output,
        exit_codes=command.exit_codes,
        limits=command_limits(command.seconds, command.result_chars),
        effects=command.effects,
        if_interrupted=command.if_interrupted,
        permissions=command.permissions,
        tags=command.tags,
        version=command.version,
        deprecated=command.deprecated,
        env=command.env,
        requirements=command.requirements,
        network=command.network,
    )
