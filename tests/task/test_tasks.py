from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest

from codin.agent.base import Task as AgentTask
from codin.agent.events import AgentEvent, TextDelta, TextFinal
from codin.security import LOCAL_USER
from codin.task import AgentRequestHandler, EventLog, TaskEnded, Tasks, UnknownTask
from codin.testing.tasks import BOB, call_context, send_request

Serve = Callable[..., AgentRequestHandler]


async def echo(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
    for word in task.text.split():
        yield TextDelta(message_id="m", text=word)
        await asyncio.sleep(0.03)
    yield TextFinal(message_id="m", text=task.text)


async def test_a_replay_gives_the_same_events_again(
    serve: Serve, log: EventLog, open_log: Callable[[], Awaitable[EventLog]]
) -> None:
    asked = send_request("one two three four")
    asked.configuration.return_immediately = True
    task = await serve(echo).on_message_send(asked, call_context())
    tasks = Tasks(log)
    live = [event async for event in tasks.events(LOCAL_USER, task.id, wait=True)]
    assert live[-1].state == "TASK_STATE_COMPLETED"
    again = [event async for event in tasks.events(LOCAL_USER, task.id)]
    assert again == live
    rest = [event async for event in tasks.events(LOCAL_USER, task.id, after=3, wait=True)]
    assert rest == live[3:]
    assert [e async for e in tasks.events(LOCAL_USER, task.id, after=99, wait=True)] == []
    elsewhere = await open_log()
    assert [e async for e in Tasks(elsewhere).events(LOCAL_USER, task.id, wait=True)] == live
    await elsewhere.close()


async def test_looking_at_tasks(serve: Serve, log: EventLog) -> None:
    made = await serve(echo).on_message_send(send_request("one"), call_context())
    tasks = Tasks(log)
    assert await tasks.get(LOCAL_USER, made.id) == made
    assert (await tasks.row(LOCAL_USER, made.id)).ended
    assert [row.task_id for row in (await tasks.list(LOCAL_USER)).tasks] == [made.id]
    assert (await tasks.list(LOCAL_USER, state="TASK_STATE_FAILED")).total == 0
    assert await tasks.steps(LOCAL_USER, made.id) == []
    with pytest.raises(TaskEnded, match="nothing to cancel"):
        await tasks.cancel(LOCAL_USER, made.id)


async def test_somebody_elses_task_is_unknown(serve: Serve, log: EventLog) -> None:
    made = await serve(echo).on_message_send(send_request("one"), call_context())
    tasks = Tasks(log)
    for call in (tasks.get, tasks.row, tasks.steps, tasks.cancel):
        with pytest.raises(UnknownTask):
            await call(BOB, made.id)
    for wait in (False, True):
        with pytest.raises(UnknownTask):
            await anext(tasks.events(BOB, made.id, wait=wait))
