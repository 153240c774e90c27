"""Push notifications are asked for over gRPC as over every other binding, for any agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest
from a2a.types import (
    DeleteTaskPushNotificationConfigRequest,
    GetTaskPushNotificationConfigRequest,
    ListTaskPushNotificationConfigsRequest,
    SendMessageConfiguration,
    SendMessageRequest,
    TaskPushNotificationConfig,
)
from a2a.types.a2a_pb2_grpc import A2AServiceStub

from codin.agent.a2a import user_message
from codin.gateway.grpc import GrpcServer
from codin.task.push import open_push
from codin.testing.serving import Served

V1 = (("a2a-version", "1.0"),)
HOOK = "https://hooks.example.org/news"


class Everywhere:
    """Lets every address through: nothing leaves these tests."""

    async def check(self, url: str) -> None:
        return None


@pytest.fixture
async def told() -> list[httpx.Request]:
    return []


@pytest.fixture
async def stub(
    served: Served, told: list[httpx.Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[A2AServiceStub]:
    def take(request: httpx.Request) -> httpx.Response:
        told.append(request)
        return httpx.Response(204)

    async with open_push(
        tmp_path / "push.db", served.log, guard=Everywhere(), transport=httpx.MockTransport(take)
    ) as push:
        monkeypatch.setattr(served.manager, "_push", push)
        async with (
            GrpcServer(served.parts, port=0) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            yield A2AServiceStub(channel)


async def test_configs_are_made_read_listed_and_deleted(stub: A2AServiceStub) -> None:
    asked = SendMessageRequest(message=user_message("ask me"), tenant="scout")
    task = (await stub.SendMessage(asked, metadata=V1)).task
    config = TaskPushNotificationConfig(task_id=task.id, id="c1", url=HOOK, tenant="scout")
    made = await stub.CreateTaskPushNotificationConfig(config, metadata=V1)
    assert (made.id, made.task_id, made.url, made.tenant) == ("c1", task.id, HOOK, "scout")
    one = {"task_id": task.id, "id": "c1", "tenant": "scout"}
    got = GetTaskPushNotificationConfigRequest(**one)
    assert await stub.GetTaskPushNotificationConfig(got, metadata=V1) == made
    every = ListTaskPushNotificationConfigsRequest(task_id=task.id, tenant="scout")
    listed = await stub.ListTaskPushNotificationConfigs(every, metadata=V1)
    assert list(listed.configs) == [made]
    gone = DeleteTaskPushNotificationConfigRequest(**one)
    for _ in range(2):  # deleting twice is no error (A2A 1.0, section 3.1.10)
        await stub.DeleteTaskPushNotificationConfig(gone, metadata=V1)
    assert not (await stub.ListTaskPushNotificationConfigs(every, metadata=V1)).configs
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetTaskPushNotificationConfig(got, metadata=V1)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_a_config_in_the_message_counts(
    stub: A2AServiceStub, told: list[httpx.Request]
) -> None:
    config = TaskPushNotificationConfig(url=HOOK, token="t0k3n")
    request = SendMessageRequest(
        message=user_message("Which region leads?"),
        tenant="scout",
        configuration=SendMessageConfiguration(task_push_notification_config=config),
    )
    task = (await stub.SendMessage(request, metadata=V1)).task
    async with asyncio.timeout(10):
        while not any(b"TASK_STATE_COMPLETED" in one.content for one in told):
            await asyncio.sleep(0.05)
    assert all(task.id.encode() in one.content for one in told)
    assert {one.headers["x-a2a-notification-token"] for one in told} == {"t0k3n"}
