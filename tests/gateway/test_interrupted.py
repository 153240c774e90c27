"""A task that waits for somebody, for an answer or for a login, over every binding."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import httpx
import pytest
from a2a.client import Client, ClientConfig, ClientFactory
from a2a.types import (
    GetTaskRequest,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    Task,
    TaskState,
)

from codin.agent.a2a import user_message
from codin.agent.base import Task as Work
from codin.agent.events import AgentEvent, InputRequest, TextFinal
from codin.agent.planning.plan import Plan, Step
from codin.agent.planning.planner import Planner, PlanRequest
from codin.gateway.grpc import GrpcServer
from codin.testing.serving import ScriptedAgent, Served, serve_agents

BINDINGS = ["JSONRPC", "HTTP+JSON", "GRPC"]
STATES = {
    "input": TaskState.TASK_STATE_INPUT_REQUIRED,
    "auth": TaskState.TASK_STATE_AUTH_REQUIRED,
}


async def ask(task: Work) -> AsyncGenerator[AgentEvent, None]:
    if task.text in {"input", "auth"}:
        kind = "auth" if task.text == "auth" else "input"
        yield InputRequest(request_id="q", prompt=f"give {kind}", request_kind=kind)
    else:
        yield TextFinal(message_id="m", text=f"thanks for {task.text}")


class OneStep(Planner):
    """Hands the goal on to the one agent."""

    async def plan(self, request: PlanRequest) -> Plan:
        step = Step(id="1", agent="asker", instruction=request.goal)
        return Plan(goal=request.goal, steps=(step,))


@asynccontextmanager
async def connected(served: Served, binding: str, *, agent: str) -> AsyncIterator[Client]:
    base = served.url if agent == "orchestrator" else f"{served.url}/agents/{agent}"
    async with GrpcServer(served.parts, port=0), httpx.AsyncClient(trust_env=False) as http:
        config = ClientConfig(
            httpx_client=http,
            streaming=True,
            supported_protocol_bindings=[binding],
            use_client_preference=True,
            grpc_channel_factory=grpc.aio.insecure_channel,
        )
        client = await ClientFactory(config).create_from_url(base)
        yield client
        await client.close()


async def _rest(stream: AsyncIterator[StreamResponse]) -> list[StreamResponse]:
    return [event async for event in stream]


def last_state(events: list[StreamResponse]) -> int:
    last = events[-1]
    status = last.status_update.status if last.HasField("status_update") else last.task.status
    return status.state


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve_agents(tmp_path, [ScriptedAgent("asker", ask)], OneStep()) as served:
        yield served


@pytest.mark.parametrize("agent", ["asker", "orchestrator"])
@pytest.mark.parametrize("kind", ["input", "auth"])
@pytest.mark.parametrize("binding", BINDINGS)
async def test_it_waits_and_goes_on(served: Served, binding: str, kind: str, agent: str) -> None:
    async with connected(served, binding, agent=agent) as client:
        asked = SendMessageRequest(message=user_message(kind))
        events = [event async for event in client.send_message(asked)]
        assert last_state(events) == STATES[kind]
        task = await client.get_task(GetTaskRequest(id=events[0].task.id))
        assert task.status.state == STATES[kind]
        assert f"give {kind}" in str(task.status.message)
        watching = client.subscribe(SubscribeToTaskRequest(id=task.id))
        assert (await anext(watching)).task.status.state == STATES[kind]
        seeing = asyncio.create_task(_rest(watching))
        answer = user_message("it", task_id=task.id, context_id=task.context_id)
        after = [one async for one in client.send_message(SendMessageRequest(message=answer))]
        assert last_state(after) == TaskState.TASK_STATE_COMPLETED
        async with asyncio.timeout(10):
            seen = await seeing
        assert last_state(seen) == TaskState.TASK_STATE_COMPLETED, "who waited sees what came of it"
        done: Task = await client.get_task(GetTaskRequest(id=task.id))
        assert "thanks for it" in str(done)
