"""Any A2A 1.0 client works over gRPC as it does over HTTP, with every agent on one port."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import httpx
import pytest
from a2a.client import ClientConfig, ClientFactory
from a2a.client.client import Client
from a2a.types import (
    AgentInterface,
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.utils.errors import (
    InvalidParamsError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)

from codin.agent.a2a import user_message
from codin.agent.base import AgentInfo
from codin.agent.cards import Cards
from codin.gateway.app import create_app
from codin.gateway.auth import Caller
from codin.gateway.grpc import GrpcServer
from codin.gateway.server import HttpServer
from codin.testing.serving import Served
from codin.testing.team import ANSWER

pytestmark = pytest.mark.slow

LOCAL = Caller({}, "127.0.0.1")


@pytest.fixture
async def server(served: Served) -> AsyncIterator[GrpcServer]:
    async with GrpcServer(served.parts, port=0) as server:
        yield server


@pytest.fixture
async def url(served: Served, server: GrpcServer) -> AsyncIterator[str]:
    """A gateway over HTTP whose cards declare the gRPC server."""
    async with HttpServer(create_app(served.parts), port=0) as web:
        yield web.url


async def connect(http: httpx.AsyncClient, url: str, *, stream: bool = True) -> Client:
    config = ClientConfig(
        httpx_client=http,
        grpc_channel_factory=grpc.aio.insecure_channel,
        streaming=stream,
        supported_protocol_bindings=["GRPC"],
        use_client_preference=True,
    )
    return await ClientFactory(config).create_from_url(url)


@pytest.fixture
async def client(http: httpx.AsyncClient, url: str) -> AsyncIterator[Client]:
    client = await connect(http, url)
    yield client
    await client.close()


def goal(text: str = "Which region leads?") -> SendMessageRequest:
    return SendMessageRequest(message=user_message(text))


def _grpc_of(cards: Cards, info: AgentInfo) -> list[AgentInterface]:
    interfaces = cards.public(info, "http://localhost/").supported_interfaces
    return [one for one in interfaces if one.protocol_binding == "GRPC"]


def state_of(event: StreamResponse) -> int:
    if event.HasField("status_update"):
        return event.status_update.status.state
    return event.task.status.state if event.HasField("task") else 0


async def test_a_goal_is_streamed_to_its_end(client: Client) -> None:
    events = [event async for event in client.send_message(goal())]
    assert events[0].HasField("task")
    assert state_of(events[-1]) == TaskState.TASK_STATE_COMPLETED
    texts = [p.text for e in events for p in e.artifact_update.artifact.parts if p.text]
    assert ANSWER in texts
    task = await client.get_task(GetTaskRequest(id=events[0].task.id))
    assert task.status.state == TaskState.TASK_STATE_COMPLETED
    listed = await client.list_tasks(ListTasksRequest())
    assert [one.id for one in listed.tasks] == [task.id]
    with pytest.raises(TaskNotCancelableError):
        await client.cancel_task(CancelTaskRequest(id=task.id))


async def test_a_cards_tenant_leads_to_its_agent(http: httpx.AsyncClient, url: str) -> None:
    client = await connect(http, f"{url}/agents/scout", stream=False)
    [answer] = [event async for event in client.send_message(goal())]
    assert answer.task.artifacts[0].parts[0].text == "data/sales.csv has 4,200 rows."
    orchestrator = await connect(http, url)
    with pytest.raises(TaskNotFoundError):  # the scout's task is none of the orchestrator's
        await orchestrator.get_task(GetTaskRequest(id=answer.task.id))
    with pytest.raises(InvalidParamsError, match="no agent 'nobody' here"):
        await orchestrator.get_task(GetTaskRequest(id=answer.task.id, tenant="nobody"))
    await client.close()
    await orchestrator.close()


async def test_cards_declare_the_server_only_while_it_serves(
    served: Served, server: GrpcServer
) -> None:
    agents = served.parts.agents(await served.parts.authenticator.authenticate(LOCAL))
    [scout] = [one.info for one in agents if one.info.id == "scout"]
    [interface] = _grpc_of(served.parts.cards, scout)
    assert (interface.url, interface.tenant) == (server.address, "scout")
    interfaces = _grpc_of(served.parts.cards, served.parts.orchestrator.info)
    assert {(one.protocol_version, one.tenant) for one in interfaces} == {("1.0", ""), ("0.3", "")}
    await server.stop()
    assert _grpc_of(served.parts.cards, scout) == []


async def test_a_task_under_way_is_watched_by_a_second_client_and_canceled(client: Client) -> None:
    first = client.send_message(goal("hang on"))
    task_id = (await anext(first)).task.id
    watching = client.subscribe(SubscribeToTaskRequest(id=task_id))
    assert (await anext(watching)).task.id == task_id
    await anext(watching)
    canceled = await client.cancel_task(CancelTaskRequest(id=task_id))
    assert canceled.status.state == TaskState.TASK_STATE_CANCELED
    for stream in (first, watching):
        rest = [event async for event in stream]
        assert state_of(rest[-1]) == TaskState.TASK_STATE_CANCELED
    with pytest.raises(UnsupportedOperationError):
        [_ async for _ in client.subscribe(SubscribeToTaskRequest(id=task_id))]


async def test_the_client_for_0_3_is_served_too(server: GrpcServer, served: Served) -> None:
    card = served.parts.cards.public(served.parts.orchestrator.info, "http://localhost/")
    old = [
        one
        for one in card.supported_interfaces
        if (one.protocol_binding, one.protocol_version) == ("GRPC", "0.3")
    ]
    del card.supported_interfaces[:]
    card.supported_interfaces.extend(old)
    config = ClientConfig(
        grpc_channel_factory=grpc.aio.insecure_channel, supported_protocol_bindings=["GRPC"]
    )
    client = ClientFactory(config).create(card)
    events = [event async for event in client.send_message(goal())]
    assert events[0].HasField("task")
    assert state_of(events[-1]) == TaskState.TASK_STATE_COMPLETED
    task = await client.get_task(GetTaskRequest(id=events[0].task.id))
    assert ANSWER in {part.text for one in task.artifacts for part in one.parts}
    await client.close()


async def test_a_question_is_answered(http: httpx.AsyncClient, url: str) -> None:
    client = await connect(http, f"{url}/agents/scout")
    asked = [event async for event in client.send_message(goal("ask me"))]
    assert state_of(asked[-1]) == TaskState.TASK_STATE_INPUT_REQUIRED
    answer = goal("In 2024.")
    answer.message.task_id = asked[0].task.id
    told = [event async for event in client.send_message(answer)]
    assert told[0].task.id == asked[0].task.id
    assert told[0].task.context_id == asked[0].task.context_id
    assert state_of(told[-1]) == TaskState.TASK_STATE_COMPLETED
    await client.close()
