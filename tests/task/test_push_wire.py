"""Push notifications as a client of A2A meets them, over every binding."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import httpx
import pytest
from a2a.client import ClientConfig, ClientFactory
from a2a.client.client import Client
from a2a.types import (
    DeleteTaskPushNotificationConfigRequest,
    GetTaskPushNotificationConfigRequest,
    ListTaskPushNotificationConfigsRequest,
    SendMessageRequest,
    TaskPushNotificationConfig,
)
from a2a.utils.errors import (
    InvalidParamsError,
    PushNotificationNotSupportedError,
    TaskNotFoundError,
)

from codin.agent.a2a import user_message
from codin.gateway.grpc import GrpcServer
from codin.security import LOCAL_USER, OutgoingGuard
from codin.task.states import COMPLETED
from codin.testing.push import Receiver
from codin.testing.serving import Served, serve_agents
from codin.testing.team import TEAM, FixedPlanner

pytestmark = pytest.mark.slow

BINDINGS = ["JSONRPC", "HTTP+JSON", "GRPC"]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
async def served(tmp_path: Path, receiver: Receiver) -> AsyncIterator[Served]:
    guard = OutgoingGuard([f"127.0.0.1:{receiver.port}"])
    async with serve_agents(tmp_path, TEAM, FixedPlanner(), push_guard=guard) as served:
        yield served


@asynccontextmanager
async def connected(served: Served, binding: str) -> AsyncIterator[Client]:
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=20))
        config = ClientConfig(
            httpx_client=http,
            streaming=True,
            supported_protocol_bindings=[binding],
            use_client_preference=True,
            grpc_channel_factory=grpc.aio.insecure_channel,
        )
        factory = ClientFactory(config)
        if binding != "GRPC":
            yield await factory.create_from_url(served.url)
            return
        await stack.enter_async_context(GrpcServer(served.parts, port=0))
        client = factory.create(
            served.parts.cards.public(served.parts.orchestrator.info, served.url)
        )
        yield client
        await client.close()


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_goal_is_told_and_its_configs_are_kept(
    served: Served, receiver: Receiver, binding: str
) -> None:
    async with connected(served, binding) as client:
        request = SendMessageRequest(message=user_message("Which region leads?"))
        request.configuration.task_push_notification_config.CopyFrom(
            TaskPushNotificationConfig(id="mine", url=receiver.url, token="shh")
        )
        events = [event async for event in client.send_message(request)]
        task_id = events[0].task.id
        await receiver.until_state(COMPLETED)
        log = await served.log.read(LOCAL_USER, task_id)
        assert [one.seq for one in receiver.took][-1] == log[-1].seq
        assert len(receiver.took) == len(events)

        asked = GetTaskPushNotificationConfigRequest(task_id=task_id, id="mine")
        assert (await client.get_task_push_notification_config(asked)).token == "shh"
        other = TaskPushNotificationConfig(task_id=task_id, id="other", url=receiver.url)
        assert (await client.create_task_push_notification_config(other)).id == "other"
        everything = ListTaskPushNotificationConfigsRequest(task_id=task_id)
        listed = await client.list_task_push_notification_configs(everything)
        assert [one.id for one in listed.configs] == ["mine", "other"]
        gone = DeleteTaskPushNotificationConfigRequest(task_id=task_id, id="mine")
        for _ in range(2):
            await client.delete_task_push_notification_config(gone)
        with pytest.raises(TaskNotFoundError):
            await client.get_task_push_notification_config(asked)
        inside = TaskPushNotificationConfig(task_id=task_id, url="http://127.0.0.1:22/")
        with pytest.raises(InvalidParamsError):
            await client.create_task_push_notification_config(inside)


async def test_the_card_says_whether_there_are_any(tmp_path: Path, served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.url, trust_env=False) as http:
        card = (await http.get("/.well-known/agent-card.json")).json()
    assert card["capabilities"]["pushNotifications"] is True
    async with serve_agents(tmp_path / "without", TEAM, FixedPlanner()) as without:
        async with httpx.AsyncClient(base_url=without.url, trust_env=False) as http:
            card = (await http.get("/.well-known/agent-card.json")).json()
        assert not card["capabilities"].get("pushNotifications")
        card = without.parts.cards.public(without.parts.orchestrator.info, without.url)
        assert not card.capabilities.push_notifications
        claiming = replace(without, parts=served.parts)
        async with connected(claiming, "JSONRPC") as client:
            asked = GetTaskPushNotificationConfigRequest(task_id="t", id="c")
            with pytest.raises(PushNotificationNotSupportedError):
                await client.get_task_push_notification_config(asked)
