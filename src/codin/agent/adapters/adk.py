"""Google ADK agents as agents: ``LlmAgent``, workflow agents, and factories of them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, ClassVar

from codin.agent._parts import jsonable
from codin.agent.adapters._failure import explain, too_many_steps
from codin.agent.adapters._run import Run, answer, past, prompt
from codin.agent.adapters.base import Adapter, Waiting, build, is_factory
from codin.agent.base import AgentError, AgentInfo, Task
from codin.agent.events import Failed, InputRequest
from codin.tool.base import Tool

_APP = "codin"
_CONFIRMATION = "adk_request_confirmation"


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that waits for an answer from outside."""

    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(slots=True)
class _Paused:
    sessions: Any
    session_id: str
    calls: list[_Call] = field(default_factory=list)
    answers: list[tuple[_Call, dict[str, Any]]] = field(default_factory=list)


class AdkAgent(Adapter):
    """An ADK agent, or a function ``([tools[, model]]) -> agent``.

    For each run the agent is cloned, and every ``LlmAgent`` in its tree is given the run's tools
    besides its own. Long-running tools and confirmations become input requests.
    """

    framework: ClassVar[str] = "adk"

    def __init__(self, subject: Any, info: AgentInfo, **options: Any) -> None:
        super().__init__(subject, info, **options)
        self._waiting: Waiting[_Paused] = Waiting()

    async def _run(self, task: Task, run: Run) -> None:
        paused = self._waiting.take(task)
        if paused is not None:
            paused.answers.append(_answered(paused.calls.pop(0), task))
            if paused.calls:
                await self._ask(task, run, paused)
                return
        agent = await self._agent(task, run)
        paused = paused or await _begin(task, agent)
        await self._drive(task, run, agent, paused)
        if paused.calls:
            await self._ask(task, run, paused)

    async def _drive(self, task: Task, run: Run, agent: Any, paused: _Paused) -> None:
        from google.adk.agents.run_config import RunConfig, StreamingMode
        from google.adk.runners import Runner

        runner = Runner(app_name=_APP, agent=agent, session_service=paused.sessions)
        reader = _Reader(run)
        stream = runner.run_async(
            user_id=task.principal.subject,
            session_id=paused.session_id,
            new_message=_content(task, paused),
            run_config=RunConfig(
                streaming_mode=StreamingMode.SSE, max_llm_calls=self.max_model_calls
            ),
        )
        async with aclosing(stream):
            async for event in stream:
                await reader.read(event)
        reader.check()
        paused.calls, paused.answers = reader.waiting, []

    async def _agent(self, task: Task, run: Run) -> Any:
        tools = [bridge(tool, run) for tool in task.tools]
        if is_factory(self.subject):
            agent = await build(self.subject, task, tools)
            if not hasattr(agent, "sub_agents"):
                raise AgentError(
                    f"agent {self.id!r} built a {type(agent).__name__}, which is no ADK agent"
                )
            return agent
        return _equipped(self.subject, tools)

    async def _ask(self, task: Task, run: Run, paused: _Paused) -> None:
        self._waiting.keep(task, paused)
        call = paused.calls[0]
        await run.emit(
            InputRequest(
                request_id=call.id,
                prompt=_question(call),
                request_kind="approval" if call.name == _CONFIRMATION else "input",
            )
        )

    def _explain(self, error: Exception) -> Failed:
        if type(error).__name__ == "LlmCallsLimitExceededError":
            return too_many_steps(self.id, self.max_model_calls)
        return explain(error)


class _Reader:
    """Tells a run what an ADK runner streams, and keeps the calls that wait for an answer."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._thought: set[str] = set()
        self._calls: dict[str, _Call] = {}
        self._error = ""
        self.waiting: list[_Call] = []

    async def read(self, event: Any) -> None:
        parts = (event.content.parts if event.content else None) or []
        if event.author == "user":
            return
        if event.partial:
            await self._piece(event, parts)
            return
        await self._whole(event, parts)
        if used := event.usage_metadata:
            await self._run.usage(
                event.model_version or "", used.prompt_token_count, used.candidates_token_count
            )
        if target := event.actions.transfer_to_agent:
            await self._run.hand_off(event.author, target)
        self._error = f"{event.error_code}: {event.error_message}" if event.error_code else ""

    def check(self) -> None:
        """Raise when the run ended with an error that ADK did not raise itself."""
        if self._error:
            raise AgentError(f"the agent's model ended with {self._error}")

    async def _piece(self, event: Any, parts: Sequence[Any]) -> None:
        for part in parts:
            if part.text and part.thought:
                self._thought.add(event.id)
                await self._run.thought(part.text)
            elif part.text:
                await self._run.delta(event.id, part.text)

    async def _whole(self, event: Any, parts: Sequence[Any]) -> None:
        if event.id not in self._thought:
            await self._run.thought("".join(p.text for p in parts if p.text and p.thought))
        await self._run.final(event.id, "".join(p.text for p in parts if p.text and not p.thought))
        for part in parts:
            if part.function_call:
                await self._called(part.function_call)
            if part.function_response:
                await self._returned(part.function_response)
        for call_id in sorted(event.long_running_tool_ids or ()):
            if call_id in self._calls:
                self.waiting.append(self._calls[call_id])

    async def _called(self, call: Any) -> None:
        made = _Call(call.id or uuid.uuid4().hex, call.name or "", dict(call.args or {}))
        self._calls[made.id] = made
        if made.name != _CONFIRMATION:
            await self._run.call(made.id, made.name, made.arguments)

    async def _returned(self, response: Any) -> None:
        content = response.response or {}
        wrong = isinstance(content, dict) and set(content) == {"error"}
        if isinstance(content, dict) and set(content) in ({"error"}, {"result"}):
            content = next(iter(content.values()))
        await self._run.result(response.id or "", response.name or "", content, is_error=wrong)


def bridge(tool: Tool, run: Run) -> Any:
    """``tool`` as an ADK tool of this run."""
    from google.adk.tools.base_tool import BaseTool
    from google.genai import types

    class BridgedTool(BaseTool):  # type: ignore[misc]
        def _get_declaration(self) -> Any:
            return types.FunctionDeclaration(
                name=self.name,
                description=self.description,
                parameters_json_schema=tool.spec.input_schema,
            )

        async def run_async(self, *, args: dict[str, Any], tool_context: Any) -> Any:
            call_id = tool_context.function_call_id or uuid.uuid4().hex
            given = await run.use(tool, call_id, args)
            return {"error": given.text} if given.is_error else {"result": jsonable(given.value)}

    return BridgedTool(name=tool.name, description=tool.spec.description)


def _equipped(agent: Any, tools: Sequence[Any]) -> Any:
    """A clone of the tree in which every agent that has a model has the tools too."""
    update: dict[str, Any] = {"sub_agents": [_equipped(sub, tools) for sub in agent.sub_agents]}
    if "tools" in type(agent).model_fields:
        update["tools"] = [*agent.tools, *tools]
    return agent.clone(update=update)


async def _begin(task: Task, agent: Any) -> _Paused:
    """A session that has the conversation so far."""
    from google.adk.events import Event
    from google.adk.sessions import InMemorySessionService
    from google.genai import types

    sessions = InMemorySessionService()
    session = await sessions.create_session(
        app_name=_APP, user_id=task.principal.subject, session_id=uuid.uuid4().hex
    )
    for role, text in past(task):
        mine = role == "assistant"
        content = types.Content(role="model" if mine else "user", parts=[types.Part(text=text)])
        event = Event(
            author=agent.name if mine else "user", invocation_id="before", content=content
        )
        await sessions.append_event(session, event)
    return _Paused(sessions, session.id)


def _content(task: Task, paused: _Paused) -> Any:
    from google.genai import types

    if not paused.answers:
        return types.Content(role="user", parts=[types.Part(text=prompt(task.message))])
    responses = [
        types.FunctionResponse(id=call.id, name=call.name, response=given)
        for call, given in paused.answers
    ]
    return types.Content(
        role="user", parts=[types.Part(function_response=response) for response in responses]
    )


def _answered(call: _Call, task: Task) -> tuple[_Call, dict[str, Any]]:
    given = answer(task.message)
    if call.name == _CONFIRMATION and not isinstance(given, dict):
        yes = given if isinstance(given, bool) else str(given).strip().lower() in _YES
        return call, {"confirmed": yes}
    return call, given if isinstance(given, dict) else {"result": given}


_YES = frozenset({"y", "yes", "ok", "true", "approve", "approved", "confirm", "confirmed"})


def _question(call: _Call) -> str:
    if call.name == _CONFIRMATION:
        confirmation = call.arguments.get("toolConfirmation") or {}
        original = call.arguments.get("originalFunctionCall") or {}
        called = f"{original.get('name')}({json.dumps(jsonable(original.get('args') or {}))})"
        return str(confirmation.get("hint") or f"Approve {called}?")
    for key in ("question", "prompt", "message"):
        if isinstance(call.arguments.get(key), str):
            return str(call.arguments[key])
    return f"{call.name}({json.dumps(jsonable(call.arguments))}) waits for its result"
