"""What CrewAI tells of a run, in its threads, told to the run in its loop."""

from __future__ import annotations

import asyncio
import mimetypes
import uuid
from collections.abc import Mapping
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from codin.agent._parts import jsonable
from codin.agent.adapters._message import result_text
from codin.agent.adapters._run import Run
from codin.agent.adapters._threads import ThreadCalls
from codin.agent.adapters.crewai.asking import Stopped
from codin.agent.adapters.crewai.record import Record
from codin.agent.adapters.crewai.schema import without_circles
from codin.agent.base import AgentError
from codin.agent.events import ArtifactProduced
from codin.tool.base import Tool

_BEGUN = frozenset({"AgentExecutionStartedEvent", "LiteAgentExecutionStartedEvent"})
_DONE = frozenset(
    {
        "AgentExecutionCompletedEvent",
        "AgentExecutionErrorEvent",
        "LiteAgentExecutionCompletedEvent",
        "LiteAgentExecutionErrorEvent",
    }
)


class Reader:
    """Takes what CrewAI tells. What a run that is made again has told before is not told twice."""

    def __init__(self, run: Run, record: Record, max_model_calls: int, bridged: set[str]) -> None:
        self.too_many = False
        self._run = run
        self._record = record
        self._left = max_model_calls
        self._bridged = bridged
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self._stopped = False
        self._calls: dict[str, list[str]] = {}
        self._roles: list[str] = []
        self._last_role = ""
        self._waited = ThreadCalls()

    def sink(self, _: Any, event: Any) -> None:
        """Called by CrewAI, in whatever thread."""
        if type(event).__name__ == "LLMCallStartedEvent":
            self._left -= 1
            self.too_many = self.too_many or self._left < 0
        if self._stopped or self.too_many:
            raise Stopped
        self._loop.call_soon_threadsafe(self._events.put_nowait, (event, self._record.live))

    def end(self) -> None:
        self._events.put_nowait(None)

    def stop(self) -> None:
        """Have CrewAI end the run the next time that it tells something; tools end at once."""
        self._stopped = True
        self._waited.stop()

    async def use(self, tool: Tool, arguments: Mapping[str, Any]) -> str:
        """Call ``tool`` for the model, after all that was told before."""
        await self._events.join()
        return (await self._run.use(tool, uuid.uuid4().hex, arguments)).text

    def call(self, tool: Tool, arguments: Mapping[str, Any]) -> str:
        """``use``, from a thread of CrewAI's."""
        if self._stopped:
            raise Stopped
        try:
            return self._waited.wait(self.use(tool, arguments))
        except CancelledError:
            raise Stopped from None

    async def read_all(self) -> None:
        """Until there is no more."""
        while (told := await self._events.get()) is not None:
            try:
                event, live = told
                if live:
                    await self._read(event)
                else:
                    self._remember(event)
            finally:
                self._events.task_done()

    async def last(self, output: Any) -> None:
        """What the run gave, where it was not the last that was said."""
        await self._run.finish()
        data = _data_of(output)
        if data is not None:
            await self._run.emit(
                ArtifactProduced(
                    artifact_id=uuid.uuid4().hex,
                    name=_name_of(output),
                    media_type="application/json",
                    data=data,
                )
            )
        text = getattr(output, "raw", None)
        text = text if isinstance(text, str) else "" if output is None else result_text(output)
        if text.strip() and text.strip() != self._run.last_text.strip():
            await self._run.final(uuid.uuid4().hex, text)

    def _remember(self, event: Any) -> None:
        match type(event).__name__:
            case name if name in _BEGUN:
                self._last_role = _role(event)
                self._roles.append(self._last_role)
            case name if name in _DONE:
                self._done()

    async def _read(self, event: Any) -> None:
        match type(event).__name__:
            case "LLMStreamChunkEvent" if event.tool_call is None:
                await self._run.delta(event.call_id, event.chunk or "")
            case "LLMThinkingChunkEvent":
                await self._run.thought(event.chunk or "")
            case "AgentReasoningCompletedEvent":
                await self._run.thought(event.plan or "")
            case "LLMCallCompletedEvent":
                await self._answered(event)
            case "ToolUsageStartedEvent" | "ToolUsageFinishedEvent" | "ToolUsageErrorEvent":
                if event.tool_name not in self._bridged:
                    await self._tool(event)
            case name if name in _BEGUN:
                await self._begins(_role(event))
            case name if name in _DONE:
                await self._ends()
            case "TaskCompletedEvent" if getattr(event.task, "output_file", None):
                await self._file(event.task.output_file)

    async def _answered(self, event: Any) -> None:
        if isinstance(event.response, str) and event.call_type.name == "LLM_CALL":
            await self._run.final(event.call_id, event.response)
        else:
            await self._run.finish()
        used = event.usage or {}
        await self._run.usage(
            event.model or "", used.get("prompt_tokens"), used.get("completion_tokens")
        )

    async def _tool(self, event: Any) -> None:
        """A tool of the agent's own. CrewAI has no ids for calls: the oldest open one is meant."""
        waiting = self._calls.setdefault(event.tool_name, [])
        given = event.tool_args if isinstance(event.tool_args, Mapping) else {}
        if type(event).__name__ == "ToolUsageStartedEvent":
            waiting.append(uuid.uuid4().hex)
            await self._run.call(waiting[-1], event.tool_name, given)
            return
        call_id = waiting.pop(0) if waiting else uuid.uuid4().hex
        failed = type(event).__name__ == "ToolUsageErrorEvent"
        value = str(event.error) if failed else event.output
        await self._run.call(call_id, event.tool_name, given)
        await self._run.result(call_id, event.tool_name, value, is_error=failed)

    async def _begins(self, role: str) -> None:
        """An agent begins: as the next one, or for the one that asked it as its coworker."""
        if self._last_role and role != self._last_role:
            await self._run.hand_off(self._last_role, role)
        self._roles.append(role)
        self._last_role = role

    async def _ends(self) -> None:
        before = self._last_role
        self._done()
        if self._last_role != before:
            await self._run.hand_off(before, self._last_role)

    def _done(self) -> None:
        if self._roles:
            self._roles.pop()
        if self._roles:
            self._last_role = self._roles[-1]

    async def _file(self, path: str) -> None:
        name = Path(path).name
        try:
            raw = await asyncio.to_thread(_read, path)
        except OSError as error:
            raise AgentError(f"the task's output_file {path!r} cannot be read: {error}") from error
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        await self._run.emit(
            ArtifactProduced(
                artifact_id=uuid.uuid4().hex, name=name, media_type=media_type, raw=raw
            )
        )


def bridge(tool: Tool, reader: Reader) -> Any:
    """``tool`` as a CrewAI tool of this run."""
    from crewai.tools.base_tool import Tool as CrewAiTool
    from crewai.tools.structured_tool import create_model_from_schema

    return CrewAiTool(
        name=tool.name,
        description=tool.spec.description or tool.name,
        args_schema=create_model_from_schema(without_circles(tool.spec.input_schema)),
        func=lambda **arguments: reader.call(tool, arguments),
        cache_function=lambda *_: False,  # what a tool gives is asked of it each time
    )


def _role(event: Any) -> str:
    """Who does it: an agent in a crew, or one by itself."""
    if (agent := getattr(event, "agent", None)) is not None:
        return str(agent.role)
    return str(event.agent_info.get("role", ""))


def _read(path: str) -> bytes:
    return Path(path).expanduser().read_bytes()


def _data_of(output: Any) -> Any:
    made = getattr(output, "pydantic", None)
    if made is None:
        made = getattr(output, "json_dict", None)
    if made is None and isinstance(output, BaseModel) and not hasattr(output, "raw"):
        made = output
    if made is None and isinstance(output, (dict, list)):
        made = output
    return None if made is None else jsonable(made)


def _name_of(output: Any) -> str:
    made = getattr(output, "pydantic", None) or output
    is_made = isinstance(made, BaseModel) and not hasattr(made, "raw")
    return type(made).__name__ if is_made else "output"
