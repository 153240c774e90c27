"""A command as a tool: typed arguments in the places of its command line, run in the sandbox."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Literal

from jsonschema_rs import ValidationError, validate

from codin.sandbox.base import Sandbox
from codin.sandbox.errors import CommandNotFound
from codin.sandbox.network.refusal import Refusal
from codin.sandbox.outcome import ExecResult
from codin.security.errors import SecretMissing
from codin.security.secrets import SecretRef, read_secrets
from codin.tool.base import (
    Effects,
    IfInterrupted,
    InvalidArguments,
    ToolDefinitionError,
    ToolFailed,
    ToolLimits,
    ToolSpec,
)
from codin.tool.commands.argv import Argument, ArgvTemplate
from codin.tool.invocation import Invocation, RunnableTool
from codin.tool.session import GOAL_LIMITS, Needs

Output = Literal["text", "json"]

_LAST_LINES = 20
_REFUSALS_SHOWN = 3
_TYPES = frozenset({"string", "integer", "number", "boolean"})


def command_limits(seconds: float = 60.0, result_chars: int = 8_000) -> ToolLimits:
    """What a call may use; memory is limited for all of the goal's sandbox together."""
    memory = GOAL_LIMITS.memory_bytes or ToolLimits().memory_bytes
    return ToolLimits(seconds=seconds, memory_bytes=memory, result_chars=result_chars)


class CommandTool(RunnableTool):
    """Runs a command in the goal's sandbox; what it prints is the result.

    See ``ArgvTemplate`` for ``argv``. The argument named ``stdin``, if any, is what the command
    reads. An exit code that is not among ``exit_codes`` is a failure, told with the last lines of
    what it printed. With ``output="json"`` what it prints is JSON, and the result is that data.

    With ``env`` (texts, or where secrets are), Python packages (``requirements``) or a ``network``
    (``host:port``) each call has a sandbox of its own in the goal's workspace: no other code of the
    goal sees what it is given. Secrets are read at the call, and taken out of what it gives.

    Raises:
        ToolDefinitionError: it cannot be a tool; the message names what stands in the way.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Sequence[str]],
        arguments: Mapping[str, Argument] | None = None,
        *,
        description: str,
        stdin: str | None = None,
        output: Output = "text",
        exit_codes: Sequence[int] = (0,),
        limits: ToolLimits | None = None,
        effects: Effects = "once",
        if_interrupted: IfInterrupted | None = None,
        permissions: tuple[str, ...] = (),
        tags: tuple[str, ...] = (),
        version: str = "1",
        deprecated: str | None = None,
        env: Mapping[str, str | SecretRef] | None = None,
        requirements: Sequence[str] = (),
        network: Sequence[str] = (),
    ) -> None:
        arguments = arguments or {}
        self.name = name
        self._stdin = stdin
        self._output = output
        self._exit_codes = frozenset(exit_codes)
        self._env = dict(env or {})
        self._requirements = tuple(requirements)
        self._network = tuple(network)
        try:
            self._template = ArgvTemplate(argv, arguments)
            _check(self._template, arguments, stdin)
        except ToolDefinitionError as error:
            raise ToolDefinitionError(f"the command '{name}': {error}") from error
        self._defaults = {
            each: argument.schema["default"]
            for each, argument in arguments.items()
            if "default" in argument.schema
        }
        self._program = str(argv[0])
        self.spec = ToolSpec(
            name=name,
            description=description,
            input_schema=_schema(arguments),
            origin="command",
            limits=limits or command_limits(),
            effects=effects,
            if_interrupted=if_interrupted,
            permissions=permissions,
            tags=tags,
            version=version,
            deprecated=deprecated,
        )

    async def run(self, call: Invocation) -> Any:
        """Run the command with the arguments of the call."""
        values = {**self._defaults, **call.arguments}
        try:
            argv = self._template.filled(values)
            stdin = str(values.get(self._stdin, "")).encode() if self._stdin else b""
        except (InvalidArguments, UnicodeEncodeError) as error:
            raise InvalidArguments(f"{self.name}: {error}") from error
        async with self._sandbox(call) as sandbox:
            limits = replace(sandbox.limits, wall_seconds=call.limits.seconds)
            try:
                result = await sandbox.exec(argv, stdin=stdin, limits=limits, on_output=call.emit)
            except CommandNotFound as error:
                raise ToolFailed(
                    f"{self.name} failed: there is no program {self._program!r} in the sandbox"
                ) from error
        call.usage = result.usage
        return self._answer(result, sandbox.refusals if self._network else ())

    @asynccontextmanager
    async def _sandbox(self, call: Invocation) -> AsyncIterator[Sandbox]:
        if not (self._env or self._requirements or self._network):
            async with call.sandboxes.sandbox(call.grant) as sandbox:
                yield sandbox
            return
        try:
            env, secrets = await read_secrets(self._env)
        except SecretMissing as error:
            raise ToolFailed(f"{self.name} failed: {error}") from error
        call.secrets += secrets
        needs = Needs(env, self._requirements, self._network)
        async with call.sandboxes.apart(call.grant, needs) as sandbox:
            yield sandbox

    def _answer(self, result: ExecResult, refusals: Sequence[Refusal]) -> Any:
        printed = result.stdout.decode("utf-8", "replace").rstrip()
        said = result.stderr.decode("utf-8", "replace").rstrip()
        if result.exit_code not in self._exit_codes:
            ending = (
                f"ended with exit code {result.exit_code}"
                if result.exit_code >= 0
                else f"was ended by signal {-result.exit_code}"
            )
            lines = "\n".join((said or printed).splitlines()[-_LAST_LINES:])
            refused = "".join(f"\n{refusal.reason}" for refusal in refusals[:_REFUSALS_SHOWN])
            raise ToolFailed(f"{self.name} {ending}.\n{lines}{refused}".strip())
        if self._output == "json":
            try:
                return json.loads(printed)
            except (ValueError, RecursionError) as error:
                raise ToolFailed(
                    f"{self.name} failed: what it printed is not JSON ({error}): {printed[:200]}"
                ) from error
        code = f"Exit code {result.exit_code}." if result.exit_code else ""
        parts = [part for part in (printed or said, code) if part]
        return "\n".join(parts) or "Done; it printed nothing."


def _schema(arguments: Mapping[str, Argument]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: dict(argument.schema) for name, argument in arguments.items()},
        "required": [
            name
            for name, argument in arguments.items()
            if not (argument.optional or argument.flag or "default" in argument.schema)
        ],
        "additionalProperties": False,
    }


def _check(template: ArgvTemplate, arguments: Mapping[str, Argument], stdin: str | None) -> None:
    if stdin is not None and stdin not in arguments:
        raise ToolDefinitionError(f"its stdin is to be {stdin!r}, which is no argument")
    unused = [name for name in arguments if name not in template.places and name != stdin]
    if unused:
        raise ToolDefinitionError(
            f"the argument '{unused[0]}' has no place: write {{{unused[0]}}} in argv"
        )
    if stdin is not None and arguments[stdin].schema.get("type") != "string":
        raise ToolDefinitionError(f"the argument '{stdin}' is its stdin, and has to be a string")
    for name, argument in arguments.items():
        _check_type(name, argument)
        if "default" in argument.schema:
            try:
                validate(dict(argument.schema), argument.schema["default"])
            except ValidationError as error:
                raise ToolDefinitionError(
                    f"the default of the argument '{name}' does not fit it: {error.message}"
                ) from error


def _check_type(name: str, argument: Argument) -> None:
    kind = argument.schema.get("type")
    if argument.is_list:
        kind = argument.schema.get("items", {}).get("type")
    if kind not in _TYPES - ({"boolean"} if argument.is_list else set()):
        raise ToolDefinitionError(
            f"the argument '{name}' is to be {kind or 'anything'}, which is no argument of a "
            f"command: its type is {', '.join(sorted(_TYPES))}, or array of one of these"
        )
    if argument.flag is not None and kind != "boolean":
        raise ToolDefinitionError(f"the argument '{name}' has a flag, and is no boolean")
