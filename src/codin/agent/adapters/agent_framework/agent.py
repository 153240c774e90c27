"""Microsoft Agent Framework: its agents, its workflows, and functions that build one of these."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from codin.agent._parts import jsonable
from codin.agent.adapters._failure import (
    TooManySteps,
    causes,
    explain_cause,
    too_many_steps,
)
from codin.agent.adapters._message import attachments, past, prompt, result_text
from codin.agent.adapters._run import Run
from codin.agent.adapters.agent_framework.copy import (
    Given,
    agents_of,
    copied_workflow,
    equipped,
    new_workflow,
    workflow_of,
)
from codin.agent.adapters.agent_framework.flows import run_flow
from codin.agent.adapters.agent_framework.reader import Reader, called, question, tell_value
from codin.agent.adapters.base import Adapter, Traits, beginning, build, is_factory, skill
from codin.agent.answers import answer, approves
from codin.agent.base import INPUT_MODES, AgentError, Task
from codin.agent.events import Failed, InputRequest
from codin.tool.base import Tool

_FILES = ("image", "audio", "application/pdf")


class AgentFrameworkAgent(Adapter):
    """An ``Agent``, a ``Workflow`` or its agent, or a function ``([tools[, model]])`` that builds
    one.

    For each run an agent is given a session, a workflow is copied, and both are given the run's
    tools besides their own. Tools that need approval, those that are declared only, and what a
    workflow asks become input requests.
    """

    framework: ClassVar[str] = "agent-framework"
    input_modes = (*INPUT_MODES, "image/*", "audio/*", "application/pdf")

    @classmethod
    def traits(cls, subject: Any) -> Traits:
        """Its description, or how its instructions begin; its tools, or the agents that it is made
        of."""
        workflow = workflow_of(subject)
        if workflow is not None:
            inner = agents_of(workflow)
            described = workflow.description or ""
            told = [skill(agent.name or agent.id, agent.description) for agent in inner]
            return Traits(described, tuple(told), (workflow, *inner))
        options = getattr(subject, "default_options", None) or {}
        tools = [tool for tool in options.get("tools") or () if getattr(tool, "name", None)]
        return Traits(
            beginning(options.get("instructions")),
            tuple(skill(tool.name, getattr(tool, "description", "")) for tool in tools),
        )

    async def _run(self, task: Task, run: Run) -> None:
        agent, tools = await self._agent(task, run)
        given = Given(_bound(self.max_model_calls), task.model)
        if workflow := workflow_of(agent):
            of_the_run = new_workflow if is_factory(self.subject) else copied_workflow
            flow = of_the_run(workflow, given)
            await run_flow(flow, task, run, lambda: _messages(task), tools)
        else:
            await _run_agent(equipped(agent, given), task, run, tools)

    async def _agent(self, task: Task, run: Run) -> tuple[Any, list[Any]]:
        """The agent of this run, and the tools that it is yet to be given."""
        tools = [bridge(tool, run) for tool in task.tools]
        if not is_factory(self.subject):
            return self.subject, tools
        agent = await build(self.subject, task, tools)
        if not hasattr(agent, "create_session") and workflow_of(agent) is None:
            raise AgentError(
                f"agent {self.id!r} built a {type(agent).__name__}, which is no agent and no "
                "workflow of Microsoft Agent Framework"
            )
        return agent, []

    def _explain(self, error: Exception) -> Failed:
        if any(isinstance(cause, TooManySteps) for cause in causes(error)):
            return too_many_steps(self.id, self.max_model_calls)
        return explain_cause(error)


async def _run_agent(agent: Any, task: Task, run: Run, tools: Sequence[Any]) -> None:
    paused = _Paused.of(task)
    if paused.asked:
        paused.take(answer(task.message))
        if paused.asked:
            await run.emit(paused.request())
            return
    await paused.tell_answers(run)
    said = paused.answers_said() if paused.answers else _messages(task)
    reader = Reader(run, paused.called)
    stream = agent.run(said, stream=True, session=paused.session, tools=tools or None)
    try:
        async for update in stream:
            await reader.read(update)
        response = await stream.get_final_response()
    finally:
        await stream.close()
    await reader.end()
    if response.user_input_requests:
        await run.emit(_Paused(paused.session, response.user_input_requests).request())
    else:
        await tell_value(response, run)


class _Paused:
    """What a run knows when it stops to ask: its session, what it asks, the answers so far, and
    the calls that these are about."""

    def __init__(
        self,
        session: Any,
        asked: Sequence[Any] = (),
        answers: Sequence[Any] = (),
        calls: Sequence[Any] = (),
    ) -> None:
        self.session = session
        self.asked = list(asked)
        self.answers = list(answers)
        calls = calls or [call for call in map(called, self.asked) if call is not None]
        self.called = {call.call_id: call for call in calls}

    @classmethod
    def of(cls, task: Task) -> _Paused:
        from agent_framework import AgentSession, Content

        if task.state is None:
            return cls(AgentSession())
        state = json.loads(task.state)
        kept = ([Content.from_dict(c) for c in state[k]] for k in ("asked", "answers", "calls"))
        return cls(AgentSession.from_dict(state["session"]), *kept)

    def take(self, given: Any) -> None:
        """``given`` answers the first request."""
        from agent_framework import Content

        asked = self.asked.pop(0)
        if asked.type == "function_approval_request":
            self.answers.append(asked.to_function_approval_response(approves(given)))
        elif asked.type == "function_call":
            self.answers.append(
                Content.from_function_result(asked.call_id, result=result_text(given))
            )
        else:
            self.answers.append(Content.from_text(result_text(given)))

    async def tell_answers(self, run: Run) -> None:
        """Calls that were answered from outside have their results with that."""
        for content in self.answers:
            if content.type == "function_result":
                call = self.called[content.call_id]
                await run.call(call.call_id, call.name, call.parse_arguments() or {})
                await run.result(call.call_id, call.name, content.result)

    def answers_said(self) -> list[Any]:
        from agent_framework import Message

        results = [a for a in self.answers if a.type == "function_result"]
        others = [a for a in self.answers if a.type != "function_result"]
        said = [Message("tool", results), Message("user", others)]
        return [message for message in said if message.contents]

    def request(self) -> InputRequest:
        asked = self.asked[0]
        state = {
            "session": self.session.to_dict(),
            "asked": [content.to_dict() for content in self.asked],
            "answers": [content.to_dict() for content in self.answers],
            "calls": [content.to_dict() for content in self.called.values()],
        }
        kinds: dict[str, Literal["approval", "auth"]] = {
            "function_approval_request": "approval",
            "oauth_consent_request": "auth",
        }
        return InputRequest(
            request_id=asked.id or asked.call_id or uuid.uuid4().hex,
            prompt=question(asked),
            request_kind=kinds.get(asked.type, "input"),
            state=json.dumps(jsonable(state)),
        )


def _bound(limit: int) -> Any:
    """What ends a run that asks its models too often."""
    from agent_framework import chat_middleware

    left = limit

    @chat_middleware  # type: ignore[untyped-decorator]
    async def count(_: Any, call_next: Callable[[], Any]) -> None:
        nonlocal left
        if left <= 0:
            raise TooManySteps
        left -= 1
        await call_next()

    return count


def bridge(tool: Tool, run: Run) -> Any:
    """``tool`` as a function tool of this run."""
    from agent_framework import Content, FunctionTool

    class BridgedTool(FunctionTool):  # type: ignore[misc]
        async def invoke(
            self, *, arguments: Any = None, tool_call_id: str | None = None, **_: Any
        ) -> Any:
            call_id = tool_call_id or uuid.uuid4().hex
            given = await run.use(tool, call_id, dict(arguments or {}))
            return [Content.from_text(given.text)]

    async def call(**_: Any) -> None:
        """Never called: ``invoke`` is what the framework calls. Without it the model is not
        answered, as a tool that is declared only is for whoever runs the agent."""

    return BridgedTool(
        name=tool.name,
        description=tool.spec.description,
        input_model=tool.spec.input_schema,
        func=call,
    )


def _messages(task: Task) -> list[Any]:
    from agent_framework import Content, Message

    files = [
        Content.from_uri(file.url, media_type=file.media_type)
        if file.url
        else Content.from_data(file.raw or b"", file.media_type)
        for file in attachments(task.message, reads=_FILES)
    ]
    said = [Message(role, [text]) for role, text in past(task)]
    return [*said, Message("user", [Content.from_text(prompt(task.message)), *files])]
