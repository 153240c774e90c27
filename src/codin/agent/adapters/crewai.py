"""CrewAI's agents, crews and flows as agents, and factories of them.

CrewAI does its work in threads that nothing can stop. A run that is cancelled ends with the next
thing that CrewAI tells of it; one that waits for its model ends with its host, which the platform
ends then. That is why an agent of CrewAI belongs in a host.
"""

from __future__ import annotations

import asyncio
import traceback
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, ClassVar

from codin.agent._parts import part_value
from codin.agent.adapters._failure import TooManySteps, explain, too_many_steps
from codin.agent.adapters._run import Run, past, prompt, result_text
from codin.agent.adapters.base import Adapter, build, is_factory
from codin.agent.base import AgentError, Task
from codin.agent.events import Failed
from codin.tool.base import Tool

Kickoff = Callable[[], Any]


class CrewAiAgent(Adapter):
    """An ``Agent``, a ``Crew`` or a ``Flow``, or a function ``([tools[, model]])`` that builds one.

    For each run an agent or a crew is copied and given the run's tools besides its own. An agent
    is told the conversation. A crew gets the message as its inputs: a data part as it is, or the
    text for each of its placeholders; one that has no placeholders finds the text in front of its
    first task. A flow gets the data part, or the text as ``message``.
    """

    framework: ClassVar[str] = "crewai"

    async def _run(self, task: Task, run: Run) -> None:
        loop = asyncio.get_running_loop()
        reader = _Reader(run, self.max_model_calls, {tool.name for tool in task.tools}, loop)
        tools = [bridge(tool, reader) for tool in task.tools]
        if is_factory(self.subject):
            kickoff = self._kickoff(await build(self.subject, task, tools), task, ())
        else:
            kickoff = self._kickoff(self.subject, task, tools)
        work = asyncio.create_task(asyncio.to_thread(_told_to, reader.sink, kickoff))
        work.add_done_callback(lambda _: reader.end())
        try:
            await reader.read_all()
            output = await work
        except BaseException:
            reader.stop()
            await asyncio.wait([work])  # until its thread has ended, the run has not
            raise
        if reader.too_many:
            raise TooManySteps
        await reader.last(output)

    def _kickoff(self, subject: Any, task: Task, tools: Sequence[Any]) -> Kickoff:
        kinds = {cls.__name__ for cls in type(subject).__mro__}
        if "Flow" in kinds:
            if tools:
                raise AgentError(
                    f"agent {self.id!r} asks for tools, and a flow cannot be given any: "
                    "wrap a function that takes the tools and returns the flow"
                )
            given = _data(task) or {"message": prompt(task.message)}
            return lambda: subject.kickoff(inputs=given)
        if "Crew" in kinds:
            return _crew(subject, task, tools)
        if hasattr(subject, "kickoff") and hasattr(subject, "role"):
            own = subject.copy()
            own.tools = [*(own.tools or []), *tools]
            said = [*past(task), ("user", prompt(task.message))]
            messages = [{"role": role, "content": text} for role, text in said]
            return lambda: own.kickoff(messages)
        raise AgentError(
            f"agent {self.id!r} built a {type(subject).__name__}, which CrewAI cannot run"
        )

    def _explain(self, error: Exception) -> Failed:
        if isinstance(error, TooManySteps):
            return too_many_steps(self.id, self.max_model_calls)
        return explain(error)


class _Stopped(BaseException):
    """Ends a run of CrewAI's from within, past all that would catch an exception and go on."""


class _Reader:
    """Takes what CrewAI tells, in its threads, and tells it to the run, in the run's loop."""

    def __init__(
        self, run: Run, max_model_calls: int, bridged: set[str], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.too_many = False
        self._run = run
        self._left = max_model_calls
        self._bridged = bridged
        self._loop = loop
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self._stopped = False
        self._calls: dict[str, list[str]] = {}
        self._role = ""
        self._using: set[Future[str]] = set()

    def sink(self, _: Any, event: Any) -> None:
        """Called by CrewAI, in whatever thread."""
        if type(event).__name__ == "LLMCallStartedEvent":
            self._left -= 1
            self.too_many = self.too_many or self._left < 0
        if self._stopped or self.too_many:
            raise _Stopped
        self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    def end(self) -> None:
        self._events.put_nowait(None)

    def stop(self) -> None:
        """Have CrewAI end the run the next time that it tells something; tools end at once."""
        self._stopped = True
        for using in self._using:
            using.cancel()

    async def use(self, tool: Tool, arguments: Mapping[str, Any]) -> str:
        """Call ``tool`` for the model, after all that was told before."""
        await self._events.join()
        return (await self._run.use(tool, uuid.uuid4().hex, arguments)).text

    def call(self, tool: Tool, arguments: Mapping[str, Any]) -> str:
        """``use``, from a thread of CrewAI's."""
        if self._stopped:
            raise _Stopped
        using = asyncio.run_coroutine_threadsafe(self.use(tool, arguments), self._loop)
        self._using.add(using)
        try:
            return using.result()
        except CancelledError:
            raise _Stopped from None
        finally:
            self._using.discard(using)

    async def read_all(self) -> None:
        """Until there is no more."""
        while (event := await self._events.get()) is not None:
            try:
                await self._read(event)
            finally:
                self._events.task_done()

    async def last(self, output: Any) -> None:
        """What the run gave, where it was not the last that was said."""
        await self._run.finish()
        text = getattr(output, "raw", None)
        text = text if isinstance(text, str) else "" if output is None else result_text(output)
        if text.strip() and text.strip() != self._run.last_text.strip():
            await self._run.final(uuid.uuid4().hex, text)

    async def _read(self, event: Any) -> None:
        match type(event).__name__:
            case "LLMStreamChunkEvent" if event.tool_call is None:
                await self._run.delta(event.call_id, event.chunk or "")
            case "LLMThinkingChunkEvent":
                await self._run.thought(event.chunk or "")
            case "LLMCallCompletedEvent":
                await self._answered(event)
            case "ToolUsageStartedEvent" | "ToolUsageFinishedEvent" | "ToolUsageErrorEvent":
                if event.tool_name not in self._bridged:
                    await self._tool(event)
            case "AgentExecutionStartedEvent":
                await self._speaks(event.agent.role)

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
        if type(event).__name__ == "ToolUsageStartedEvent":
            waiting.append(uuid.uuid4().hex)
            given = event.tool_args if isinstance(event.tool_args, Mapping) else {}
            await self._run.call(waiting[-1], event.tool_name, given)
            return
        call_id = waiting.pop(0) if waiting else uuid.uuid4().hex
        failed = type(event).__name__ == "ToolUsageErrorEvent"
        value = str(event.error) if failed else event.output
        await self._run.result(call_id, event.tool_name, value, is_error=failed)

    async def _speaks(self, role: str) -> None:
        if self._role and role != self._role:
            await self._run.hand_off(self._role, role)
        self._role = role


def bridge(tool: Tool, reader: _Reader) -> Any:
    """``tool`` as a CrewAI tool of this run."""
    from crewai.tools.base_tool import Tool as CrewAiTool
    from crewai.tools.structured_tool import create_model_from_schema

    return CrewAiTool(
        name=tool.name,
        description=tool.spec.description or tool.name,
        args_schema=create_model_from_schema(tool.spec.input_schema),
        func=lambda **arguments: reader.call(tool, arguments),
        cache_function=lambda *_: False,  # what a tool gives is asked of it each time
    )


def _told_to(sink: Callable[[Any, Any], None], kickoff: Kickoff) -> Any:
    """Run it in this thread, telling ``sink``."""
    from crewai.events.stream_context import add_stream_sink

    add_stream_sink(sink)
    try:
        return kickoff()
    except _Stopped as stopped:
        # What was being read of the model is closed with the frames that read it.
        traceback.clear_frames(stopped.__traceback__)
        return None


def _crew(subject: Any, task: Task, tools: Sequence[Any]) -> Kickoff:
    if asking := [each.name or each.description for each in subject.tasks if each.human_input]:
        raise AgentError(
            f"the task {asking[0]!r:.80} of the crew asks for human_input, which is not handed on "
            "to whoever talks to it; leave it out, or ask by a tool"
        )
    crew = subject.copy()
    for agent in crew.agents:
        agent.tools = [*(agent.tools or []), *tools]
    text, given = prompt(task.message), _data(task)
    asked = crew.fetch_inputs()
    inputs = dict.fromkeys(asked, text) | given
    if not asked and not given and crew.tasks:
        first = crew.tasks[0]
        first.description = f"{text}\n\n{first.description}"
    return lambda: crew.kickoff(inputs=inputs or None)


def _data(task: Task) -> dict[str, Any]:
    """The first data part of the message that is an object."""
    for part in task.message.parts:
        value = part_value(part) if part.HasField("data") else None
        if isinstance(value, dict):
            return value
    return {}
