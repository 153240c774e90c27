"""A plain async function as an agent."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Literal, get_args, get_type_hints

from codin.agent._parts import jsonable
from codin.agent.adapters._message import attachments, prompt
from codin.agent.adapters._run import Run
from codin.agent.adapters.base import Adapter
from codin.agent.base import AgentError, AgentInfo, Task
from codin.agent.events import END_EVENTS, AgentEvent, TextFinal
from codin.agent.response import AgentResponse
from codin.ids import new_id
from codin.tool.base import Tool, ToolSpec
from codin.tool.context import calling

_EVENTS: tuple[type[Any], ...] = get_args(get_args(AgentEvent)[0])


class FunctionAgent(Adapter):
    """``async def f(task)`` or ``async def f(text: str)``, a coroutine or an async generator.

    It returns a string, an ``AgentResponse``, an event or nothing; or it yields strings, which are
    pieces of its answer, and events. What it raises fails the run. Its calls of ``task.tools``
    are told as tool calls, and raise ``ToolError``.
    """

    framework: ClassVar[str] = "function"

    def __init__(self, subject: Any, info: AgentInfo, **options: Any) -> None:
        super().__init__(subject, info, **options)
        if self._wants != "text":
            # It is handed the task itself, and sees to its files.
            self._set_info(replace(info, input_modes=(*info.input_modes, "*/*")))

    async def _run(self, task: Task, run: Run) -> None:
        speech = _Speech(run)
        told = tuple(_ToldTool(tool, run, speech) for tool in task.tools)
        result = self._call(replace(task, tools=told))
        if hasattr(result, "__aiter__") and not isinstance(result, AgentResponse):
            await self._pieces(result, run, speech)
        else:
            await self._returned(await result if inspect.isawaitable(result) else result, run)

    def _call(self, task: Task) -> Any:
        function: Callable[..., Any] = self.subject
        match self._wants:
            case "nothing":
                return function()
            case "text":
                attachments(task.message)  # which a text cannot hold, and which are refused
                return function(prompt(task.message))
            case _:
                return function(task)

    @cached_property
    def _wants(self) -> Literal["nothing", "text", "task"]:
        if not inspect.signature(self.subject).parameters:
            return "nothing"
        return "text" if _wants_text(self.subject) else "task"

    async def _pieces(self, pieces: AsyncIterator[Any], run: Run, speech: _Speech) -> None:
        async with aclosing(pieces):  # type: ignore[type-var]
            async for piece in pieces:
                if isinstance(piece, str):
                    await speech.say(piece)
                elif isinstance(piece, _EVENTS):
                    await run.emit(piece)
                else:
                    raise AgentError(self._wrong("yielded", piece))

    async def _returned(self, value: Any, run: Run) -> None:
        if isinstance(value, AgentResponse):
            async for event in value:
                await run.emit(event)
                if isinstance(event, END_EVENTS):
                    return
        elif isinstance(value, str):
            await run.emit(TextFinal(message_id=new_id(), text=value))
        elif isinstance(value, _EVENTS):
            await run.emit(value)
        elif value is not None:
            raise AgentError(self._wrong("returned", value))

    def _wrong(self, verb: str, value: Any) -> str:
        return (
            f"agent {self.id!r} {verb} a {type(value).__name__}; "
            "an agent gives text (str), agent events, or an AgentResponse"
        )


class _Speech:
    """The messages of a function: a tool call ends one, what is said after it begins the next."""

    def __init__(self, run: Run) -> None:
        self._said = run
        self._message_id = new_id()

    async def say(self, piece: str) -> None:
        await self._said.delta(self._message_id, piece)

    async def end(self) -> None:
        await self._said.finish()
        self._message_id = new_id()


class _ToldTool:
    """A tool whose calls are told as events of the run."""

    def __init__(self, tool: Tool, run: Run, speech: _Speech) -> None:
        self.name = tool.name
        self.spec: ToolSpec = tool.spec
        self._tool = tool
        self._said = run
        self._speech = speech

    async def invoke(self, *args: Any, **kwargs: Any) -> Any:
        call_id = new_id()
        names = [*self.spec.input_schema.get("properties", {})]
        shown = {**dict(zip(names, args, strict=False)), **kwargs}
        await self._speech.end()
        await self._said.call(call_id, self.name, shown)
        try:
            with calling(call_id):
                value = await self._tool.invoke(*args, **kwargs)
        except Exception as error:
            await self._said.result(call_id, self.name, str(error), is_error=True)
            raise
        await self._said.result(call_id, self.name, jsonable(value))
        return value


def _wants_text(function: Callable[..., Any]) -> bool:
    first = next(iter(inspect.signature(function).parameters.values()))
    try:
        annotation = get_type_hints(function).get(first.name)
    except Exception:
        annotation = first.annotation
    return annotation is str or annotation == "str"
