"""Agno agents as agents: ``Agent``, and factories of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, ClassVar

from codin.agent._parts import jsonable
from codin.agent.adapters._failure import TooManySteps, explain, too_many_steps
from codin.agent.adapters._run import Run, answer, past, prompt, result_text
from codin.agent.adapters.base import Adapter, Waiting, build, is_factory
from codin.agent.base import AgentError, AgentInfo, Task
from codin.agent.events import Failed, InputRequest
from codin.tool.base import Tool

_YES = frozenset({"y", "yes", "ok", "true", "approve", "approved", "confirm", "confirmed"})


class AgnoAgent(Adapter):
    """An Agno ``Agent``, or a function ``([tools[, model]]) -> Agent``.

    For each run the agent is copied and given the run's tools besides its own; the copy reports
    nothing to Agno. A run that pauses becomes an input request.
    """

    framework: ClassVar[str] = "agno"

    def __init__(self, subject: Any, info: AgentInfo, **options: Any) -> None:
        super().__init__(subject, info, **options)
        self._waiting: Waiting[Any] = Waiting()

    async def _run(self, task: Task, run: Run) -> None:
        agent = await self._agent(task, run)
        options = {
            "stream": True,
            "stream_events": True,
            "yield_run_output": True,
            "session_id": task.id,
            "user_id": task.principal.subject,
        }
        if (paused := self._waiting.take(task)) is not None:
            _resolve(paused.active_requirements, answer(task.message))
            stream = agent.acontinue_run(
                run_response=paused, requirements=paused.requirements, **options
            )
        else:
            stream = agent.arun(_messages(task), **options)
        reader = _Reader(run, self.max_model_calls)
        async with aclosing(stream):
            async for event in stream:
                await reader.read(event)
        await self._end(task, run, reader)

    async def _agent(self, task: Task, run: Run) -> Any:
        tools = [bridge(tool, run) for tool in task.tools]
        if is_factory(self.subject):
            agent = await build(self.subject, task, tools)
            if not hasattr(agent, "arun") or not hasattr(agent, "deep_copy"):
                raise AgentError(
                    f"agent {self.id!r} built a {type(agent).__name__}, which is no Agno Agent"
                )
            agent.telemetry = False
            return agent
        own = self.subject.tools or []
        if callable(own):
            raise AgentError(
                f"agent {self.id!r} makes its tools by a function; wrap a function that builds "
                "the whole agent instead (framework='agno')"
            )
        return self.subject.deep_copy(update={"tools": [*own, *tools], "telemetry": False})

    async def _end(self, task: Task, run: Run, reader: _Reader) -> None:
        if reader.failed is not None:
            await run.emit(reader.failed)
        elif reader.paused and reader.output is not None:
            self._waiting.keep(task, reader.output)
            await run.emit(_request(reader.output.active_requirements))

    def _explain(self, error: Exception) -> Failed:
        if isinstance(error, TooManySteps):
            return too_many_steps(self.id, self.max_model_calls)
        return explain(error)


class _Reader:
    """Tells a run what an Agno run streams. Agno's errors are events; they are kept here."""

    def __init__(self, run: Run, max_model_calls: int) -> None:
        self._run = run
        self._left = max_model_calls
        self._message = uuid.uuid4().hex
        self._text = ""
        self._said = False
        self.paused = False
        self.failed: Failed | None = None
        self.output: Any = None

    async def read(self, event: Any) -> None:
        if not hasattr(event, "event"):
            self.output = event
            return
        match event.event:
            case "RunContent":
                await self._content(event)
            case "ModelRequestStarted":
                self._request()
            case "ModelRequestCompleted":
                await self._message_ends()
                await self._run.usage(event.model or "", event.input_tokens, event.output_tokens)
            case "ToolCallStarted" | "ToolCallCompleted" | "ToolCallError":
                await self._tool(event.tool, started=event.event == "ToolCallStarted")
            case "RunCompleted":
                await self._completed(event)
            case "RunPaused":
                self.paused = True
            case "RunError" | "RunCancelled":
                self.failed = _failed(event)

    def _request(self) -> None:
        if self._left <= 0:
            raise TooManySteps
        self._left -= 1
        self._message, self._text = uuid.uuid4().hex, ""

    async def _content(self, event: Any) -> None:
        await self._run.thought(event.reasoning_content or "")
        if isinstance(event.content, str):
            self._text += event.content
            await self._run.delta(self._message, event.content)

    async def _message_ends(self) -> None:
        self._said = self._said or bool(self._text)
        await self._run.final(self._message, self._text)

    async def _tool(self, tool: Any, *, started: bool) -> None:
        call_id = tool.tool_call_id or tool.tool_name or ""
        await self._run.call(call_id, tool.tool_name or "", tool.tool_args or {})
        if not started:
            await self._run.result(
                call_id, tool.tool_name or "", tool.result, is_error=bool(tool.tool_call_error)
            )

    async def _completed(self, event: Any) -> None:
        """The whole output; only what did not come as text before is said."""
        if event.content is not None and not isinstance(event.content, str):
            await self._run.final(uuid.uuid4().hex, result_text(event.content))
        elif event.content and not self._said and not self._run.last_text:
            await self._run.final(self._message, event.content)


def bridge(tool: Tool, run: Run) -> Any:
    """``tool`` as an Agno function of this run."""
    from agno.tools.function import Function

    # Agno hands the call to a parameter named fc, and awaits only real coroutine functions.
    async def call(fc: Any, **arguments: Any) -> str:
        given = await run.use(tool, fc.call_id or uuid.uuid4().hex, arguments)
        return given.text

    return Function(
        name=tool.name,
        description=tool.spec.description,
        parameters=tool.spec.input_schema,
        entrypoint=call,
        skip_entrypoint_processing=True,
    )


def _messages(task: Task) -> list[Any]:
    from agno.models.message import Message

    said = [*past(task), ("user", prompt(task.message))]
    return [Message(role=role, content=text) for role, text in said]


def _failed(event: Any) -> Failed:
    if event.event == "RunCancelled":
        return Failed(error_type="Cancelled", message=event.reason or "Agno cancelled the run")
    message = event.content or "Agno gave no reason"
    if event.error_type == "model_provider_error":
        return Failed(error_type="ModelError", message=f"the agent's model failed: {message}")
    return Failed(error_type=event.error_type or "AgentFailed", message=message)


def _request(requirements: Sequence[Any]) -> InputRequest:
    asked = requirements[0]
    tool = asked.tool_execution
    called = f"{tool.tool_name}({json.dumps(jsonable(tool.tool_args or {}))})"
    if asked.needs_confirmation:
        return InputRequest(
            request_id=asked.id, prompt=f"Approve {called}?", request_kind="approval"
        )
    if asked.needs_user_input:
        fields = [f.name for f in asked.user_input_schema or [] if f.value is None]
        return InputRequest(
            request_id=asked.id,
            prompt=f"{tool.tool_name} needs: {', '.join(fields)}",
            answer_schema={
                "type": "object",
                "properties": {name: {} for name in fields},
                "required": fields,
            },
        )
    return InputRequest(request_id=asked.id, prompt=f"{called} waits for its result")


def _resolve(requirements: Sequence[Any], given: Any) -> None:
    """Answer the first open requirement; further ones make the run pause again."""
    asked = requirements[0]
    if asked.needs_confirmation:
        yes = given.get("confirmed") if isinstance(given, dict) else given
        if yes is True or str(yes).strip().lower() in _YES:
            asked.confirm()
        else:
            asked.reject(note=None if isinstance(given, dict) else str(given))
    elif asked.needs_user_input:
        fields = [f for f in asked.user_input_schema or [] if f.value is None]
        values = given if isinstance(given, dict) else {f.name: given for f in fields[:1]}
        asked.provide_user_input(values)
    else:
        asked.set_external_execution_result(result_text(given))
