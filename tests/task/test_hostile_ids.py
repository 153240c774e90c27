"""Ids are data: whatever is in one, it names something of the caller's, or nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from a2a.server.context import ServerCallContext
from a2a.types import (
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTasksRequest,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskPushNotificationConfig,
)
from a2a.utils.errors import A2AError, InvalidParamsError, TaskNotFoundError

from codin.agent import base
from codin.agent.a2a import user_message
from codin.agent.events import AgentEvent, TextFinal
from codin.security import LOCAL_USER
from codin.task import AgentRequestHandler, EventLog
from codin.task.door import PRINCIPAL
from codin.task.log import TaskFilter
from codin.task.push import open_push
from codin.testing.push import AnyUrl

IDS = [
    "",
    "\x00",
    "x\x00y",
    "'; DROP TABLE task; --",
    "' OR '1'='1",
    "../../etc/passwd",
    "%00%2e%2e/",
    "\\",
    "%",
    "_" * 32,
    "é" * 5000,
    "\U0001f600",
    "\u202e",
    "\ufeff",
    "$1",
    "{}",
    "None",
    "0",
    "-1",
]


Serve = Callable[..., AgentRequestHandler]


async def echo(task: base.Task) -> AsyncGenerator[AgentEvent, None]:
    yield TextFinal(message_id="m", text=task.text)


def context() -> ServerCallContext:
    return ServerCallContext(state={PRINCIPAL: LOCAL_USER})


async def refused(call: Any) -> A2AError:
    outcome = anext(call) if hasattr(call, "__anext__") else call
    with pytest.raises(A2AError) as caught:
        await outcome
    return caught.value


def is_kept(name: str) -> bool:
    """Whether a caller may give something that name."""
    return len(name) <= 256 and "\x00" not in name


async def test_an_id_that_names_nothing_is_unknown(serve: Serve) -> None:
    handler = serve(echo)
    for name in IDS:
        for call in (
            handler.on_get_task(GetTaskRequest(id=name), context()),
            handler.on_cancel_task(CancelTaskRequest(id=name), context()),
            handler.task_stream(SubscribeToTaskRequest(id=name), context()),
        ):
            assert isinstance(await refused(call), TaskNotFoundError), name
        page = await handler.on_list_tasks(ListTasksRequest(context_id=name or "x"), context())
        assert page.total_size == 0
        answer = user_message("x", task_id=name or "x")
        error = await refused(
            handler.on_message_send(SendMessageRequest(message=answer), context())
        )
        assert isinstance(error, TaskNotFoundError | InvalidParamsError), name


async def test_an_id_of_the_callers_own_making_is_kept_as_it_is_or_refused(
    serve: Serve, log: EventLog
) -> None:
    handler = serve(echo)
    made = 0
    for name in IDS[1:]:
        message = user_message("hello", context_id=name)
        message.message_id = name
        sent = handler.on_message_send(SendMessageRequest(message=message), context())
        if not is_kept(name):
            assert isinstance(await refused(sent), InvalidParamsError)
            continue
        task = await sent
        made += 1
        assert isinstance(task, Task)
        assert task.context_id == name
        assert task.history[0].message_id == name
        page = await log.tasks(LOCAL_USER, TaskFilter(context_id=name))
        assert [row.task_id for row in page.tasks] == [task.id]
        again = await handler.on_message_send(SendMessageRequest(message=message), context())
        assert isinstance(again, Task)
        assert again.id == task.id
    assert made == len(IDS) - 4
    assert (await log.tasks(LOCAL_USER, TaskFilter())).total == made


async def test_text_of_any_kind_is_given_back_as_it_came(serve: Serve) -> None:
    handler = serve(echo)
    for text in ("\x00", "a\x00b\x1f\x7f", "\ufffe\U0010ffff", "\u2028'\";--", "\r\n\t"):
        said = user_message(f"x{text}")
        task = await handler.on_message_send(SendMessageRequest(message=said), context())
        assert isinstance(task, Task)
        got = await handler.on_get_task(GetTaskRequest(id=task.id), context())
        assert got is not None
        assert got.history[0].parts[0].text == f"x{text}"
        assert got.artifacts[0].parts[0].text == f"x{text}"


async def test_a_page_token_of_anybody_elses_making_is_refused_or_harmless(serve: Serve) -> None:
    import base64

    handler = serve(echo)
    await handler.on_message_send(SendMessageRequest(message=user_message("x")), context())
    for raw in (
        b"", b"[]", b"{}", b"[1]", b"[1,2,3]", b'["a","b"]', b"[null,null]", b"[NaN,\"x\"]",
        b"[Infinity,\"x\"]", b"[1e400,\"\\u0000\"]", b'[1e308,"\\ud800"]', b'[9e99,"z"]',
        b'[1,"\\u0000"]', b"[" * 5000, b"\xff\xfe", b'[true,"x"]', b"[" + b"9" * 5000 + b',"x"]',
    ):  # fmt: skip
        for token in (base64.urlsafe_b64encode(raw).decode(), raw.decode("latin-1")[:300]):
            try:
                page = await handler.on_list_tasks(ListTasksRequest(page_token=token), context())
            except InvalidParamsError:
                continue
            assert page.total_size <= 1, raw
            assert len(page.tasks) <= 1, raw


async def test_ids_of_push_configs(
    serve: Serve, log: EventLog, tmp_path: Any, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["open_log"]
    place = request.getfixturevalue("database") if kind == "postgres" else tmp_path / "push.db"
    handler = serve(echo)
    begun = await handler.on_message_send(SendMessageRequest(message=user_message("x")), context())
    assert isinstance(begun, Task)
    async with open_push(place, log, guard=AnyUrl()) as push:
        handler._push = push
        for name in IDS[1:]:
            config = TaskPushNotificationConfig(
                task_id=begun.id, id=name, url="http://127.0.0.1:9/"
            )
            get = GetTaskPushNotificationConfigRequest(task_id=begun.id, id=name)
            unknown = handler.on_get_task_push_notification_config(get, context())
            assert isinstance(await refused(unknown), TaskNotFoundError | InvalidParamsError)
            made = handler.on_create_task_push_notification_config(config, context())
            if not (is_kept(name) and name.isprintable()):
                assert isinstance(await refused(made), InvalidParamsError)
                continue
            await made
            found = await handler.on_get_task_push_notification_config(get, context())
            assert found.id == name
            drop = DeleteTaskPushNotificationConfigRequest(task_id=begun.id, id=name)
            await handler.on_delete_task_push_notification_config(drop, context())
            wanted = ListTaskPushNotificationConfigsRequest(task_id=begun.id)
            listed = await handler.on_list_task_push_notification_configs(wanted, context())
            assert list(listed.configs) == []
