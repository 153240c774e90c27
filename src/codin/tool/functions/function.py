"""Python functions as tools."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

from codin.sandbox.base import Limits
from codin.security.errors import SecretMissing
from codin.security.secrets import SecretRef
from codin.tool._failure import raise_for
from codin.tool.base import (
    Effects,
    IfInterrupted,
    InvalidArguments,
    Origin,
    ToolDefinitionError,
    ToolFailed,
    ToolLimits,
    ToolSpec,
    ToolUnavailable,
)
from codin.tool.context import ToolContext
from codin.tool.functions._shipping import check_shippable, entry_source, module_source
from codin.tool.functions._streaming import in_thread, streamed, teller
from codin.tool.functions.schema import signature_of
from codin.tool.invocation import Invocation, RunnableTool


class FunctionTool(RunnableTool):
    """A function that agents can call. Calling the object itself calls the plain function.

    Unless it is ``trusted``, the source of the function's module is shipped to a sandbox and the
    function is called there by its name: it sees no network, no files and no environment of the
    host, and no module state of this process. What it imports has to be installed.

    What a generator yields is shown at once, and is its result in the end: texts as one text,
    anything else as a list.

    A parameter that is marked with a ``Secret`` takes what ``with_secrets`` gives; until then each
    call says that the operator has not given it.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        spec: ToolSpec,
        *,
        context: str | None,
        convert: Any,
        secrets: Mapping[str, str],
    ) -> None:
        self.name = spec.name
        self.spec = spec
        self.__wrapped_tool__ = fn
        self.__doc__ = fn.__doc__
        self.__name__ = getattr(fn, "__name__", spec.name)
        self.__module__ = getattr(fn, "__module__", "")
        self._context = context
        self._adapters = convert
        self._secrets = dict(secrets)
        self._given: Mapping[str, SecretRef] = {}

    @classmethod
    def from_function(
        cls,
        fn: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        trusted: bool = False,
        limits: ToolLimits | None = None,
        permissions: tuple[str, ...] = (),
        effects: Effects = "repeatable",
        if_interrupted: IfInterrupted | None = None,
        tags: tuple[str, ...] = (),
        version: str = "1",
        deprecated: str | None = None,
        origin: Origin = "function",
        pure: bool = False,
        cache_seconds: float = 300.0,
    ) -> FunctionTool:
        """A tool from ``fn``, sync or async; name, schema and description come from it.

        Args:
            trusted: the operator's own code, run in this process, with a timeout only. A sync
                function runs in a thread, which goes on after its timeout: Python cannot end one.
            deprecated: what to use instead, in words.
            pure: it gives the same for the same arguments, and does nothing else; its results are
                kept for ``cache_seconds``, for each principal.

        Raises:
            ToolDefinitionError: ``fn`` cannot be a tool; the message names what stands in the way.
        """
        if not callable(fn) or isinstance(fn, type):
            raise ToolDefinitionError(f"a tool is made from a function, not from {fn!r}")
        name = name or str(getattr(fn, "__name__", type(fn).__name__))
        if name == "<lambda>":
            raise ToolDefinitionError("a lambda has no name and no types: write a function")
        if not trusted:
            check_shippable(fn, name)
        read = signature_of(fn, name)
        if read.secrets and origin != "function":
            raise ToolDefinitionError(
                f"tool '{name}' is {origin} and asks for a secret: only functions that the "
                "operator names can be given any"
            )
        spec = ToolSpec(
            name=name,
            description=read.description if description is None else description,
            input_schema=read.input_schema,
            output_schema=read.output_schema,
            origin=origin,
            permissions=permissions,
            limits=limits or ToolLimits(),
            effects=effects,
            if_interrupted=if_interrupted,
            trusted=trusted,
            tags=tags,
            version=version,
            deprecated=deprecated,
            pure=pure,
            cache_seconds=cache_seconds,
        )
        return cls(fn, spec, context=read.context, convert=read.adapters, secrets=read.secrets)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of the secrets that it asks for."""
        return tuple(sorted(set(self._secrets.values())))

    @property
    def not_given(self) -> str:
        """What it asks for and has not been given, and what to do about it; empty if it has all."""
        missing = [secret for secret in self.secrets if secret not in self._given]
        if not missing:
            return ""
        first = missing[0]
        return (
            f"{self.name} asks for the secret {', '.join(map(repr, missing))}, which it is not "
            f'given: have the operator add [secrets.{first}] with tools = ["{self.name}"], and env '
            "or file for where it is, to codin.toml"
        )

    def with_secrets(self, given: Mapping[str, SecretRef]) -> FunctionTool:
        """This tool with where the secrets are that it may have, by their names."""
        other = copy(self)
        vars(other).update(_given=dict(given))
        return other

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped_tool__(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<FunctionTool {self.name}{' trusted' if self.spec.trusted else ''}>"

    async def run(self, call: Invocation) -> Any:
        """Call the function, in its sandbox or, when trusted, here."""
        context = ToolContext(
            call_id=call.call_id,
            task_id=call.grant.task_id,
            goal_id=call.grant.goal_id,
            agent_id=call.grant.agent_id,
            tenant=call.grant.principal.tenant,
            user=call.grant.principal.subject,
            tell=teller(call),
        )
        secrets = await self._read_secrets(call)
        run = self._run_here if self.spec.trusted else self._run_inside
        return await run(call, context, secrets)

    async def _read_secrets(self, call: Invocation) -> dict[str, str]:
        """The secrets by the parameters that take them; they are the call's from now on."""
        if self.not_given:
            raise ToolFailed(self.not_given)
        try:
            read = {key: await self._given[name].read() for key, name in self._secrets.items()}
        except SecretMissing as error:
            raise ToolFailed(f"{self.name} failed: {error}") from error
        call.secrets += read.values()
        return read

    async def _run_here(
        self, call: Invocation, context: ToolContext, secrets: Mapping[str, str]
    ) -> Any:
        import anyio.to_thread

        fn = self.__wrapped_tool__
        arguments = {**self._converted(call.arguments), **secrets}
        if self._context:
            arguments[self._context] = context
        try:
            if inspect.isasyncgenfunction(fn):
                return await streamed(fn(**arguments), context.tell)
            if inspect.iscoroutinefunction(fn):
                return await fn(**arguments)
            work = partial(in_thread, fn, arguments, context.tell)
            value = await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
            return await value if inspect.isawaitable(value) else value
        except Exception as error:
            kind = ToolUnavailable if isinstance(error, ToolUnavailable) else ToolFailed
            raise kind(_own_failure(self.name, error, fn)) from error

    def _converted(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if not self._adapters:
            return dict(arguments)
        from pydantic import ValidationError

        converted = dict(arguments)
        for key in self._adapters.keys() & arguments.keys():
            try:
                converted[key] = self._adapters[key].validate_python(arguments[key])
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                place = ".".join(str(part) for part in (key, *first["loc"]))
                raise InvalidArguments(
                    f"{self.name}: argument '{place}': {first['msg']}"
                ) from error
        return converted

    async def _run_inside(
        self, call: Invocation, context: ToolContext, secrets: Mapping[str, str]
    ) -> Any:
        from codin.runtime.workload import Function

        fn = self.__wrapped_tool__
        workload = Function(
            target="codin_tool_entry:call",
            source=entry_source(),
            args=(
                {
                    "source": module_source(fn, self.name),
                    "filename": Path(fn.__code__.co_filename).name,
                    "qualname": fn.__qualname__,
                    "arguments": call.arguments,
                    "context": {self._context: context.facts()} if self._context else {},
                    "convert": list(self._adapters),
                    "secrets": dict(secrets),
                },
            ),
            limits=Limits(memory_bytes=call.limits.memory_bytes, wall_seconds=call.limits.seconds),
        )
        result = await call.runtime.run(workload, stream=True)
        try:
            async for chunk in result.output():
                call.emit(chunk)
            result = await result.done()
        except BaseException:
            await result.cancel()
            raise
        call.usage = result.usage
        raise_for(self.name, call.limits, result)
        return self._answer(result.value)

    def _answer(self, answer: Any) -> Any:
        match answer:
            case {"value": value}:
                return value
            case {"invalid": str(problem)}:
                raise InvalidArguments(f"{self.name}: {problem}")
            case {"error": {"type": str(kind), "message": str(message), "lines": [*lines]}}:
                failure = ToolUnavailable if kind == ToolUnavailable.__name__ else ToolFailed
                raise failure(_message(self.name, kind, message, [str(line) for line in lines]))
        raise ToolFailed(f"{self.name} answered what a tool cannot answer: {str(answer)[:200]}")


def _own_failure(name: str, error: Exception, fn: Callable[..., Any]) -> str:
    import traceback

    code = getattr(fn, "__code__", None)
    lines = [
        f"line {frame.lineno}: {frame.line}"
        for frame in traceback.extract_tb(error.__traceback__)
        if code is not None and frame.filename == code.co_filename
    ]
    return _message(name, type(error).__name__, str(error), lines[-3:])


def _message(name: str, kind: str, message: str, lines: list[str]) -> str:
    said = kind in ("ToolError", "ToolFailed", "ToolUnavailable")
    head = f"{name} failed: {message}" if said else f"{name} failed: {kind}: {message}"
    head = head.rstrip(": ")
    if kind == "ModuleNotFoundError":
        head += (
            " (a tool is sent to its sandbox as one file: keep what it needs in that file, "
            "install it, or mark the tool trusted=True if it is your own)"
        )
    return "\n".join([head, *(line[:300] for line in lines)])
