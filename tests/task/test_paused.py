"""What an agent that asks needs to go on: kept, handed back once, and shown to nobody."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable

from a2a.types import GetTaskRequest, Task, TaskState

from codin.agent.base import Task as AgentTask
from codin.agent.events import AgentEvent, InputRequest, TextFinal
from codin.security import LOCAL_USER, RunGrants
from codin.task import AgentRequestHandler, AgentWork, EventLog, RunServices, TaskRunner
from codin.task._paused import MAX_STATE_BYTES
from codin.task.updates import updates_of
from codin.testing.tasks import SmallAgent, call_context, send_request

SECRET = "what only the agent knows"


async def ask(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
    match task.text:
        case "ask":
            yield InputRequest(request_id="q", prompt="which colour?", state=SECRET)
        case "ask more":
            yield InputRequest(request_id="q", prompt=f"why? ({task.state})")
        case "too much":
            yield InputRequest(request_id="q", prompt="?", state="x" * (MAX_STATE_BYTES + 1))
        case _:
            yield TextFinal(message_id="m", text=f"state: {task.state}")


async def said_by(handler: AgentRequestHandler, text: str, task_id: str = "") -> Task:
    given = await handler.on_message_send(send_request(text, task_id=task_id), call_context())
    assert isinstance(given, Task)
    return given


def text_of(task: Task) -> str:
    return task.artifacts[-1].parts[0].text


async def test_the_answer_comes_with_what_was_given(
    serve: Callable[..., AgentRequestHandler],
) -> None:
    handler = serve(ask)
    asked = await said_by(handler, "ask")
    assert asked.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
    assert text_of(await said_by(handler, "blue", asked.id)) == f"state: {SECRET}"


async def test_another_process_hands_it_back(
    open_log: Callable[[], Awaitable[EventLog]], serve: Callable[..., AgentRequestHandler]
) -> None:
    asked = await said_by(serve(ask), "ask")
    runner = TaskRunner(await open_log(), pulse_seconds=0.1, lease_seconds=5.0)
    agent = SmallAgent(ask)
    work = AgentWork(agent, agent.info, RunServices(grants=RunGrants()))
    other = AgentRequestHandler(agent.id, lambda _: work, runner)
    try:
        assert text_of(await said_by(other, "blue", asked.id)) == f"state: {SECRET}"
    finally:
        await runner.aclose()


async def test_a_later_question_has_its_own(serve: Callable[..., AgentRequestHandler]) -> None:
    handler = serve(ask)
    asked = await said_by(handler, "ask")
    more = await said_by(handler, "ask more", asked.id)
    assert SECRET in more.status.message.parts[0].text
    assert text_of(await said_by(handler, "blue", asked.id)) == "state: None"


async def test_it_is_shown_to_nobody(
    serve: Callable[..., AgentRequestHandler], log: EventLog
) -> None:
    handler = serve(ask)
    asked = await said_by(handler, "ask")
    await said_by(handler, "blue", asked.id)
    found = await handler.on_get_task(GetTaskRequest(id=asked.id), call_context())
    events = await log.read(LOCAL_USER, asked.id)
    assert SECRET in json.dumps([event.body for event in events])
    assert "state" in [event.kind for event in events]
    told = [update.body for update in updates_of(events, "c")]
    shown = [event.shown for event in events if "state: " not in json.dumps(event.body)]
    for seen in (str(asked), str(found.status), str(found.history), json.dumps(shown)):
        assert SECRET not in seen
    assert SECRET not in json.dumps([body for body in told if "state: " not in json.dumps(body)])


async def test_more_than_is_kept_fails_the_run(serve: Callable[..., AgentRequestHandler]) -> None:
    failed = await said_by(serve(ask), "too much")
    assert failed.status.state == TaskState.TASK_STATE_FAILED
    assert "16,777,216" in failed.status.message.parts[0].text
