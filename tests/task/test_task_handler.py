from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from a2a.types import (
    CancelTaskRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTasksRequest,
    SubscribeToTaskRequest,
    Task,
    TaskArtifactUpdateEvent,
    TaskPushNotificationConfig,
    TaskState,
    TaskStatusUpdateEvent,
)
from a2a.utils import errors

from codin.agent.base import Task as AgentTask
from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    Completed,
    InputRequest,
    TextDelta,
    TextFinal,
    ToolCall,
    ToolResult,
)
from codin.security import LOCAL_USER, RunGrants
from codin.task import AgentRequestHandler, LogEvent, SqliteEventLog, TaskRunner
from codin.task.log.rows import TaskFilter
from codin.testing.tasks import ANN, BOB
from codin.testing.tasks import call_context as context
from codin.testing.tasks import send_request as request

Serve = Callable[..., AgentRequestHandler]

DONE = TaskState.TASK_STATE_COMPLETED


async def echo(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
    for word in task.text.split():
        yield TextDelta(message_id="m", text=word + " ")
    yield TextFinal(message_id="m", text=f"you said: {task.text}")


async def slow(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
    yield TextDelta(message_id="m", text="begun")
    await asyncio.sleep(30)
    yield TextFinal(message_id="m", text="never")


def texts(task: Task) -> list[str]:
    return ["".join(part.text for part in artifact.parts) for artifact in task.artifacts]


async def events_of(log: SqliteEventLog, task_id: str, who: Any = LOCAL_USER) -> list[LogEvent]:
    return await log.read(who, task_id, 0, 10_000)


async def only_task(log: SqliteEventLog, who: Any = LOCAL_USER) -> str:
    (row,) = (await log.tasks(who)).tasks
    return row.task_id


async def test_send_waits_for_the_end(serve: Serve, log: SqliteEventLog) -> None:
    task = await serve(echo).on_message_send(request("one two"), context())
    assert isinstance(task, Task)
    assert task.status.state == DONE
    assert texts(task) == ["you said: one two"]
    assert [part.text for part in task.history[0].parts] == ["one two"]
    assert task.history[0].task_id == task.id
    states = [event.state for event in await events_of(log, task.id) if event.state]
    assert states == [f"TASK_STATE_{s}" for s in ("SUBMITTED", "WORKING", "COMPLETED")]


async def test_return_immediately(serve: Serve) -> None:
    handler = serve(slow)
    asked = request()
    asked.configuration.return_immediately = True
    task = await asyncio.wait_for(handler.on_message_send(asked, context()), 2)
    assert task.status.state in (TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING)


async def test_a_stream_is_the_task_and_then_its_updates(serve: Serve) -> None:
    stream = serve(echo).on_message_send_stream(request("one two"), context())
    events = [event async for event in stream]
    assert isinstance(events[0], Task)
    assert events[0].status.state == TaskState.TASK_STATE_SUBMITTED
    assert all(
        isinstance(event, TaskStatusUpdateEvent | TaskArtifactUpdateEvent) for event in events[1:]
    )
    last = events[-1]
    assert isinstance(last, TaskStatusUpdateEvent)
    assert last.status.state == DONE


async def test_all_who_watch_see_the_same(serve: Serve) -> None:
    async def counting(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        for number in range(30):
            await asyncio.sleep(0.01)
            yield ToolCall(call_id=str(number), name="t", arguments={"n": number})

    handler = serve(counting)
    stream = handler.on_message_send_stream(request(), context())
    first = await anext(stream)
    assert isinstance(first, Task)

    async def subscribe(delay: float) -> tuple[Any, list[Any]]:
        await asyncio.sleep(delay)
        seen = [
            event
            async for event in handler.on_subscribe_to_task(
                SubscribeToTaskRequest(id=first.id), context()
            )
        ]
        return seen[0], seen[1:]

    subscribed = [asyncio.create_task(subscribe(n * 0.05)) for n in range(4)]
    mine = [event async for event in stream]
    assert len(mine) == 32
    for snapshot, updates in await asyncio.gather(*subscribed):
        assert isinstance(snapshot, Task)
        assert updates
        assert updates == mine[-len(updates) :]


async def test_it_goes_on_when_the_client_leaves(serve: Serve, runner: TaskRunner) -> None:
    release = asyncio.Event()

    async def waiting(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        await release.wait()
        yield TextFinal(message_id="m", text="done")

    handler = serve(waiting)
    stream = handler.on_message_send_stream(request(), context())
    first = await anext(stream)
    await stream.aclose()
    release.set()
    await runner.wait(first.id)
    task = await handler.on_get_task(GetTaskRequest(id=first.id), context())
    assert task is not None
    assert task.status.state == DONE


async def test_an_end_cannot_be_subscribed_to(serve: Serve) -> None:
    handler = serve(echo)
    task = await handler.on_message_send(request(), context())
    with pytest.raises(errors.UnsupportedOperationError, match="has ended"):
        await anext(handler.on_subscribe_to_task(SubscribeToTaskRequest(id=task.id), context()))


async def test_cancel(serve: Serve, log: SqliteEventLog) -> None:
    closed = asyncio.Event()

    async def hanging(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        try:
            yield TextDelta(message_id="m", text="begun")
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.02)
            closed.set()

    handler = serve(hanging)
    stream = handler.on_message_send_stream(request(), context())
    first = await anext(stream)
    await anext(stream)
    task = await handler.on_cancel_task(CancelTaskRequest(id=first.id), context())
    assert task is not None
    assert task.status.state == TaskState.TASK_STATE_CANCELED
    assert closed.is_set(), "the agent has cleared up before the end is told"
    rest = [event async for event in stream]
    assert rest[-1].status.state == TaskState.TASK_STATE_CANCELED
    with pytest.raises(errors.TaskNotCancelableError):
        await handler.on_cancel_task(CancelTaskRequest(id=first.id), context())
    states = [event.state for event in await events_of(log, first.id)]
    assert states.count("TASK_STATE_CANCELED") == 1


async def test_an_agent_that_will_not_stop_is_left_behind(serve: Serve) -> None:
    release = asyncio.Event()

    async def stubborn(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        yield TextDelta(message_id="m", text="begun")
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    handler = serve(stubborn)
    stream = handler.on_message_send_stream(request(), context())
    first = await anext(stream)
    await anext(stream)
    task = await handler.on_cancel_task(CancelTaskRequest(id=first.id), context())
    assert task is not None
    assert task.status.state == TaskState.TASK_STATE_CANCELED
    assert "left behind" in task.status.message.parts[0].text
    release.set()


async def test_an_exception_fails_the_task(serve: Serve) -> None:
    async def broken(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        yield TextDelta(message_id="m", text="so far")
        raise ValueError("the file has no column 'price'")

    task = await serve(broken).on_message_send(request(), context())
    assert task.status.state == TaskState.TASK_STATE_FAILED
    assert task.status.message.parts[0].text == "the file has no column 'price'"
    assert texts(task) == ["so far"]


async def test_an_agent_that_cannot_even_begin(serve: Serve) -> None:
    def tools_for(grant: Any) -> Any:
        raise RuntimeError("no tools today")

    task = await serve(echo, tools_for=tools_for).on_message_send(request(), context())
    assert task.status.state == TaskState.TASK_STATE_FAILED
    assert task.status.message.parts[0].text == "no tools today"


async def test_an_agent_that_takes_too_long(serve: Serve) -> None:
    task = await serve(slow, seconds=0.1).on_message_send(request(), context())
    assert task.status.state == TaskState.TASK_STATE_FAILED
    assert "0.1 s" in task.status.message.parts[0].text


async def test_what_follows_the_end_is_dropped(serve: Serve, log: SqliteEventLog) -> None:
    async def chatty(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        yield Completed()
        yield TextFinal(message_id="m", text="too late")

    task = await serve(chatty).on_message_send(request(), context())
    assert texts(task) == []
    assert (await events_of(log, task.id))[-1].state == "TASK_STATE_COMPLETED"


async def test_text_is_gathered_before_it_is_logged(serve: Serve, log: SqliteEventLog) -> None:
    async def babbling(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        for number in range(500):
            yield TextDelta(message_id="m", text=f"{number} ")
            await asyncio.sleep(0)

    task = await serve(babbling).on_message_send(request(), context())
    assert texts(task) == ["".join(f"{number} " for number in range(500))]
    pieces = [e for e in await events_of(log, task.id) if e.kind == "artifact"]
    assert 1 <= len(pieces) < 50


async def test_a_question_and_its_answer(serve: Serve, log: SqliteEventLog) -> None:
    async def asking(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        if task.text == "order":
            yield InputRequest(request_id="q", prompt="how many?")
        yield TextFinal(message_id="m", text=f"ordered {task.text}")

    handler = serve(asking)
    asked = await handler.on_message_send(request("order"), context())
    assert asked.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
    assert (await log.task(LOCAL_USER, asked.id)).owner is None, "it holds no process"
    stream = handler.on_message_send_stream(request("three", task_id=asked.id), context())
    events = [event async for event in stream]
    assert isinstance(events[0], Task)
    assert events[-1].status.state == DONE
    task = await handler.on_get_task(GetTaskRequest(id=asked.id), context())
    assert task is not None
    assert texts(task) == ["ordered three"]
    said = [message.parts[0].text for message in task.history]
    assert said == ["order", "how many?", "three"]
    assert all(message.context_id == task.context_id for message in task.history)


async def test_a_blocking_answer_waits_too(serve: Serve) -> None:
    async def asking(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        if task.text == "order":
            yield InputRequest(request_id="q", prompt="how many?")
        await asyncio.sleep(0.1)
        yield TextFinal(message_id="m", text="ordered")

    handler = serve(asking)
    asked = await handler.on_message_send(request("order"), context())
    task = await handler.on_message_send(request("three", task_id=asked.id), context())
    assert task.status.state == DONE


async def test_a_waiting_task_can_be_canceled(serve: Serve) -> None:
    async def asking(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        yield InputRequest(request_id="q", prompt="how many?")

    handler = serve(asking)
    asked = await handler.on_message_send(request("order"), context())
    task = await handler.on_cancel_task(CancelTaskRequest(id=asked.id), context())
    assert task is not None
    assert task.status.state == TaskState.TASK_STATE_CANCELED


async def test_contexts(serve: Serve) -> None:
    async def asking(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        yield InputRequest(request_id="q", prompt="how many?")

    handler = serve(asking)
    task = await handler.on_message_send(request(context_id="mine"), context())
    assert task.context_id == "mine"
    wrong = request(task_id=task.id, context_id="other")
    with pytest.raises(errors.InvalidParamsError, match="belongs to context mine"):
        await handler.on_message_send(wrong, context())


async def test_a_task_at_work_takes_no_message(serve: Serve) -> None:
    handler = serve(slow)
    asked = request()
    asked.configuration.return_immediately = True
    task = await handler.on_message_send(asked, context())
    with pytest.raises(errors.UnsupportedOperationError, match="still at work"):
        await handler.on_message_send(request(task_id=task.id), context())
    ended = await serve(echo).on_message_send(request(), context())
    with pytest.raises(errors.UnsupportedOperationError, match="has ended"):
        await handler.on_message_send(request(task_id=ended.id), context())


@pytest.mark.parametrize("stranger", [BOB, None])
async def test_nobody_else_gets_at_a_task(serve: Serve, stranger: Any) -> None:
    handler = serve(slow)
    asked = request()
    asked.configuration.return_immediately = True
    task = await handler.on_message_send(asked, context(ANN))
    calls = [
        lambda id_: handler.on_get_task(GetTaskRequest(id=id_), context(stranger)),
        lambda id_: handler.on_cancel_task(CancelTaskRequest(id=id_), context(stranger)),
        lambda id_: handler.on_message_send(request(task_id=id_), context(stranger)),
        lambda id_: anext(
            handler.on_subscribe_to_task(SubscribeToTaskRequest(id=id_), context(stranger))
        ),
    ]
    expected = errors.TaskNotFoundError if stranger else errors.InvalidRequestError
    for call in calls:
        for task_id in (task.id, "nowhere"):
            with pytest.raises(expected):
                await call(task_id)
    if stranger:
        assert (await handler.on_list_tasks(ListTasksRequest(), context(stranger))).total_size == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is empty"), (" \n\t", "is empty"), ("x" * 1024 * 1024, "1,048,576 bytes.*262,144")],
)
async def test_bad_messages(serve: Serve, log: SqliteEventLog, text: str, message: str) -> None:
    handler = serve(echo)
    with pytest.raises(errors.InvalidParamsError, match=message):
        await handler.on_message_send(request(text), context())
    with pytest.raises(errors.InvalidParamsError, match=message):
        await anext(handler.on_message_send_stream(request(text), context()))
    assert (await log.tasks(LOCAL_USER)).total == 0


async def test_what_is_not_supported(serve: Serve) -> None:
    handler = serve(echo)
    asked = request()
    asked.configuration.task_push_notification_config.CopyFrom(
        TaskPushNotificationConfig(url="http://localhost/")
    )
    with pytest.raises(errors.PushNotificationNotSupportedError):
        await handler.on_message_send(asked, context())
    for operation in ("create", "get", "delete"):
        push: Any = getattr(handler, f"on_{operation}_task_push_notification_config")
        with pytest.raises(errors.PushNotificationNotSupportedError):
            await push(None, context())
    with pytest.raises(errors.PushNotificationNotSupportedError):
        await handler.on_list_task_push_notification_configs(
            ListTaskPushNotificationConfigsRequest(), context()
        )
    card: Any = handler.on_get_extended_agent_card
    with pytest.raises(errors.UnsupportedOperationError):
        await card(None, context())


async def test_history_length(serve: Serve) -> None:
    handler = serve(echo)
    task = await handler.on_message_send(request(), context())
    bare = await handler.on_get_task(GetTaskRequest(id=task.id, history_length=0), context())
    assert bare is not None
    assert len(bare.history) == 0
    with pytest.raises(errors.InvalidParamsError):
        await handler.on_get_task(GetTaskRequest(id=task.id, history_length=-1), context())


async def test_tasks_are_listed_by_pages(serve: Serve) -> None:
    handler = serve(echo)
    made = [
        (await handler.on_message_send(request(f"n{n}", context_id=f"c{n % 2}"), context())).id
        for n in range(5)
    ]
    listed: list[str] = []
    asked = ListTasksRequest(page_size=2)
    while True:
        page = await handler.on_list_tasks(asked, context())
        assert (page.total_size, page.page_size) == (5, 2)
        assert all(len(task.artifacts) == 0 for task in page.tasks)
        assert all(task.status.state == DONE for task in page.tasks)
        listed += [task.id for task in page.tasks]
        if not page.next_page_token:
            break
        asked.page_token = page.next_page_token
    assert listed == made[::-1]
    full = await handler.on_list_tasks(
        ListTasksRequest(context_id="c1", include_artifacts=True), context()
    )
    assert [texts(task) for task in full.tasks] == [["you said: n3"], ["you said: n1"]]
    none = await handler.on_list_tasks(
        ListTasksRequest(status=TaskState.TASK_STATE_FAILED), context()
    )
    assert (none.total_size, none.next_page_token) == (0, "")
    for bad in (ListTasksRequest(page_size=101), ListTasksRequest(page_token="nonsense")):
        with pytest.raises(errors.InvalidParamsError):
            await handler.on_list_tasks(bad, context())


async def test_artifacts_are_put_together(serve: Serve) -> None:
    async def making(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        yield ToolCall(call_id="1", name="t", arguments={})
        yield ToolResult(call_id="1", name="t", content={"n": 1})
        yield ArtifactProduced(artifact_id="text-m", name="a.bin", raw=b"\x00\x01")
        yield TextDelta(message_id="m", text="one ")
        yield ToolCall(call_id="2", name="t", arguments={})
        yield TextDelta(message_id="m", text="two")

    task = await serve(making).on_message_send(request(), context())
    assert len(task.artifacts) == 2, "an artifact does not take the place of a text"
    assert texts(task)[1] == "one two"
    assert len(task.artifacts[1].parts) == 1


async def test_a_run_is_given_what_its_grant_says(serve: Serve, log: SqliteEventLog) -> None:
    seen: list[Any] = []
    grants = RunGrants()

    async def looking(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        assert task.token is not None
        seen.append((grants.resolve(task.token), task))
        yield Completed()

    made = await serve(looking, grants=grants).on_message_send(request(), context(ANN))
    ((grant, task),) = seen
    assert (grant.task_id, grant.goal_id, grant.principal) == (made.id, made.id, ANN)
    assert (task.id, task.context_id, task.principal) == (made.id, made.context_id, ANN)
    from codin.security import GrantError

    with pytest.raises(GrantError):
        grants.resolve(task.token)
    assert task.token not in str(await events_of(log, made.id, ANN))
    assert (await log.tasks(ANN, TaskFilter(roots=True))).total == 1


async def test_ids_have_a_bound(serve: Serve) -> None:
    with pytest.raises(errors.InvalidParamsError, match="context_id is longer than 256"):
        await serve(echo).on_message_send(request(context_id="c" * 257), context())


async def test_a_waiting_task_can_be_watched_to_its_end(serve: Serve) -> None:
    async def asking(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        if task.text == "order":
            yield InputRequest(request_id="q", prompt="how many?")
        yield TextFinal(message_id="m", text="ordered")

    handler = serve(asking)
    asked = await handler.on_message_send(request("order"), context())
    stream = handler.on_subscribe_to_task(SubscribeToTaskRequest(id=asked.id), context())
    snapshot = await anext(stream)
    assert snapshot.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
    await handler.on_message_send(request("three", task_id=asked.id), context())
    rest = [event async for event in stream]
    assert rest[-1].status.state == DONE
