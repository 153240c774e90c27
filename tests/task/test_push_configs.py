"""A2A's operations on push configs, through the handler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from a2a.types import (
    DeleteTaskPushNotificationConfigRequest,
    GetTaskPushNotificationConfigRequest,
    ListTaskPushNotificationConfigsRequest,
    SendMessageRequest,
    Task,
    TaskPushNotificationConfig,
)
from a2a.utils import errors

from codin.agent.base import Task as AgentTask
from codin.agent.events import AgentEvent, InputRequest, TextFinal
from codin.security import LOCAL_USER, OutgoingRefused, Principal, RunGrants
from codin.task import AgentRequestHandler, AgentWork, RunServices, SqliteEventLog, TaskRunner
from codin.task.push import PushNotifications, open_push
from codin.task.push.service import MAX_CONFIGS
from codin.testing.tasks import ANN, BOB, SmallAgent, send_request
from codin.testing.tasks import call_context as context

OTHER_ANN = Principal("rival", "ann", roles=frozenset({"owner"}))


class Picky:
    """A guard that refuses one host."""

    async def check(self, url: str) -> None:
        if "inside" in url:
            raise OutgoingRefused("that host is inside")


async def asks(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
    if task.text == "blue":
        yield TextFinal(message_id="m", text="blue it is")
    else:
        yield InputRequest(request_id="r", prompt="which colour?")


@pytest.fixture
async def push(tmp_path: Path, log: SqliteEventLog) -> AsyncIterator[PushNotifications]:
    # Nothing listens there: these tests are about what is kept.
    async with open_push(tmp_path / "push.db", log, guard=Picky()) as found:
        yield found


@pytest.fixture
def handler(runner: TaskRunner, push: PushNotifications) -> AgentRequestHandler:
    return handler_of("small", runner, push)


def handler_of(name: str, runner: TaskRunner, push: PushNotifications) -> AgentRequestHandler:
    agent = SmallAgent(asks, id=name)
    work = AgentWork(agent, agent.info, RunServices(grants=RunGrants(), seconds=30.0))
    return AgentRequestHandler(agent.id, lambda _: work, runner, push=push)


@pytest.fixture
async def task(handler: AgentRequestHandler) -> Task:
    return await begun(handler)


async def begun(
    handler: AgentRequestHandler, asked: SendMessageRequest | None = None, who: Any = LOCAL_USER
) -> Task:
    task = await handler.on_message_send(asked or send_request(), context(who))
    assert isinstance(task, Task)
    return task


def config(task_id: str = "", **fields: Any) -> TaskPushNotificationConfig:
    given = {"url": "http://127.0.0.1:9/hook", "task_id": task_id, **fields}
    return TaskPushNotificationConfig(**given)


async def create(
    handler: AgentRequestHandler, asked: TaskPushNotificationConfig, who: Any = LOCAL_USER
) -> TaskPushNotificationConfig:
    return await handler.on_create_task_push_notification_config(asked, context(who))


async def get(
    handler: AgentRequestHandler, task_id: str, name: str, who: Any = LOCAL_USER
) -> TaskPushNotificationConfig:
    asked = GetTaskPushNotificationConfigRequest(task_id=task_id, id=name)
    return await handler.on_get_task_push_notification_config(asked, context(who))


async def names(handler: AgentRequestHandler, task_id: str, who: Any = LOCAL_USER) -> list[str]:
    asked = ListTaskPushNotificationConfigsRequest(task_id=task_id)
    found = await handler.on_list_task_push_notification_configs(asked, context(who))
    return [one.id for one in found.configs]


async def delete(
    handler: AgentRequestHandler, task_id: str, name: str, who: Any = LOCAL_USER
) -> None:
    asked = DeleteTaskPushNotificationConfigRequest(task_id=task_id, id=name)
    await handler.on_delete_task_push_notification_config(asked, context(who))


async def test_what_is_created_can_be_got_and_deleted(
    handler: AgentRequestHandler, task: Task
) -> None:
    asked = config(
        task.id,
        id="mine",
        token="shh",
        authentication={"scheme": "Bearer", "credentials": "x"},
    )
    assert await create(handler, asked) == asked
    assert await get(handler, task.id, "mine") == asked
    for _ in range(2):
        await delete(handler, task.id, "mine")
    with pytest.raises(errors.TaskNotFoundError, match="mine"):
        await get(handler, task.id, "mine")


async def test_a_config_without_an_id_gets_one(handler: AgentRequestHandler, task: Task) -> None:
    first, second = [await create(handler, config(task.id)) for _ in range(2)]
    assert first.id
    assert first.id != second.id
    assert await names(handler, task.id) == [first.id, second.id]


async def test_pages(handler: AgentRequestHandler, task: Task) -> None:
    for name in "abcde":
        await create(handler, config(task.id, id=name))
    seen: list[str] = []
    token = ""
    for _ in range(3):
        asked = ListTaskPushNotificationConfigsRequest(
            task_id=task.id, page_size=2, page_token=token
        )
        page = await handler.on_list_task_push_notification_configs(asked, context())
        seen += [one.id for one in page.configs]
        token = page.next_page_token
    assert seen == [*"abcde"]
    assert token == ""


@pytest.mark.parametrize(
    "fields",
    [{"page_size": -1}, {"page_size": 101}, {"page_token": "?"}, {"page_token": "LTE"}],
)
async def test_a_page_that_is_none(
    handler: AgentRequestHandler, task: Task, fields: dict[str, Any]
) -> None:
    asked = ListTaskPushNotificationConfigsRequest(task_id=task.id, **fields)
    with pytest.raises(errors.InvalidParamsError):
        await handler.on_list_task_push_notification_configs(asked, context())


@pytest.mark.parametrize("stranger", [BOB, OTHER_ANN])
async def test_nobody_elses_configs_are_seen(
    handler: AgentRequestHandler, stranger: Principal
) -> None:
    task = await begun(handler, who=ANN)
    await create(handler, config(task.id, id="mine"), ANN)
    for operation in (
        create(handler, config(task.id), stranger),
        names(handler, task.id, stranger),
    ):
        with pytest.raises(errors.TaskNotFoundError):
            await operation
    for operate in (get, delete):
        with pytest.raises(errors.TaskNotFoundError):
            await operate(handler, task.id, "mine", stranger)
    assert await names(handler, task.id, ANN) == ["mine"]


async def test_nobody_is_nobody(handler: AgentRequestHandler, task: Task) -> None:
    for operation in (
        create(handler, config(task.id), None),
        get(handler, task.id, "x", None),
        names(handler, task.id, None),
        delete(handler, task.id, "x", None),
    ):
        with pytest.raises(errors.InvalidRequestError):
            await operation


async def test_another_agents_task_is_unknown(
    runner: TaskRunner, push: PushNotifications, task: Task
) -> None:
    other = handler_of("other", runner, push)
    with pytest.raises(errors.TaskNotFoundError):
        await create(other, config(task.id))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"url": ""}, "no url"),
        ({"url": "http://inside.example/"}, "that host is inside"),
        ({"url": "http://ann:secret@x.example/"}, "authentication"),
        ({"url": "http://x.example/\r\nHost: y"}, "printable"),
        ({"url": "http://x.example/" + "a" * 3000}, "2048"),
        ({"id": "i" * 300}, "256"),
        ({"id": "a\0b"}, "control"),
        ({"token": "a\r\nX-Other: b"}, "printable"),
        ({"token": "t" * 5000}, "4096"),
        ({"authentication": {"scheme": "Digest", "credentials": "x"}}, "Digest"),
        ({"authentication": {"credentials": "x"}}, "scheme"),
        ({"authentication": {"scheme": "Bearer", "credentials": "x\ny"}}, "printable"),
    ],
)
async def test_what_cannot_be_used_is_refused(
    handler: AgentRequestHandler, log: SqliteEventLog, task: Task, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(errors.InvalidParamsError, match=says) as refused:
        await create(handler, config(task.id, **fields))
    assert "secret" not in str(refused.value)
    assert await names(handler, task.id) == []
    asked = send_request()
    asked.configuration.task_push_notification_config.CopyFrom(config(**fields))
    with pytest.raises(errors.InvalidParamsError):
        await handler.on_message_send(asked, context())
    assert (await log.tasks(LOCAL_USER)).total == 1


async def test_there_are_not_too_many(handler: AgentRequestHandler, task: Task) -> None:
    for _ in range(MAX_CONFIGS):
        await create(handler, config(task.id))
    with pytest.raises(errors.InvalidParamsError, match="delete one"):
        await create(handler, config(task.id))
    asked = send_request("blue", task_id=task.id)
    asked.configuration.task_push_notification_config.CopyFrom(config())
    with pytest.raises(errors.InvalidParamsError, match="delete one"):
        await handler.on_message_send(asked, context())
    now = await begun(handler, send_request("blue", task_id=task.id))
    assert now.id == task.id


async def test_a_message_sent_twice_makes_one_config(handler: AgentRequestHandler) -> None:
    asked = send_request("colour")
    asked.configuration.task_push_notification_config.CopyFrom(config())
    task = await begun(handler, asked)
    again = SendMessageRequest()
    again.CopyFrom(asked)
    again.message.task_id = task.id
    await begun(handler, again)
    assert len(await names(handler, task.id)) == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/", "http://localhost/", "http://169.254.169.254/", "file:///etc/x"]
)
async def test_only_public_addresses_unless_said_otherwise(
    runner: TaskRunner, log: SqliteEventLog, tmp_path: Path, url: str
) -> None:
    async with open_push(tmp_path / "default.db", log) as push:
        handler = handler_of("small", runner, push)
        task = await begun(handler)
        with pytest.raises(errors.InvalidParamsError, match="cannot be used"):
            await create(handler, config(task.id, url=url))


async def test_a_name_that_is_never_found_is_not_waited_for(
    runner: TaskRunner, log: SqliteEventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stuck:
        async def check(self, url: str) -> None:
            await asyncio.sleep(60)

    monkeypatch.setattr("codin.task.push.service._CHECK_SECONDS", 0.05)
    async with open_push(tmp_path / "stuck.db", log, guard=Stuck()) as push:
        handler = handler_of("small", runner, push)
        task = await begun(handler)
        with pytest.raises(errors.InvalidParamsError, match="not found within"):
            await create(handler, config(task.id))
