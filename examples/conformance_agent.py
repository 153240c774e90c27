"""An agent that does what the public A2A conformance kit asks for, behind codin's gateway.

    python examples/conformance_agent.py --port 9999

The kit (a2aproject/a2a-tck, branch 1.0-dev) says by the beginning of a message's id what the agent
is to do. `make conformance KIT=path` serves this and runs the kit against it.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codin.agent.base import AgentInfo, Task
from codin.agent.cards import Cards
from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    Completed,
    InputRequest,
    Rejected,
    TextDelta,
    TextFinal,
)
from codin.agent.response import AgentResponse
from codin.gateway import GatewayParts, HttpServer, LoopbackAuthenticator, ServedAgent, create_app
from codin.gateway.grpc import GrpcServer
from codin.gateway.server import stop_signals
from codin.security import DEFAULT_ROLES, Access, RoleAuthorizer, RunGrants
from codin.task import AgentRequestHandler, AgentWork, RunServices, SqliteEventLog, TaskRunner
from codin.task.push import PushNotifications, open_push
from codin.tool.base import Tool
from codin.tool.workspace import Workspaces

INFO = AgentInfo("conformance", "Conformance", "Does what the A2A conformance kit asks for.")

Events = AsyncGenerator[AgentEvent, None]


def text(said: str) -> Callable[[Task], Events]:
    async def answer(task: Task) -> Events:
        yield ArtifactProduced(artifact_id=f"{task.id}-text", text=said)

    return answer


def artifact(**fields: Any) -> Callable[[Task], Events]:
    async def answer(task: Task) -> Events:
        yield ArtifactProduced(artifact_id=f"{task.id}-made", **fields)

    return answer


async def chunked(task: Task) -> Events:
    yield TextDelta(message_id=f"{task.id}-1", text="chunk-1 ")
    await asyncio.sleep(0.1)  # longer than text is gathered for
    yield TextDelta(message_id=f"{task.id}-1", text="chunk-2")


async def reply(task: Task) -> Events:
    yield Completed(reply="Direct message response")


async def ask(task: Task) -> Events:
    yield InputRequest(request_id=f"{task.id}-q", prompt="What else?")


async def reject(task: Task) -> Events:
    yield Rejected(message="rejected")


async def linger(task: Task) -> Events:
    await asyncio.sleep(4)
    yield TextFinal(message_id=f"{task.id}-1", text="Here at last")


FILE = {"name": "output.txt", "media_type": "text/plain"}

TRIGGERS: dict[str, Callable[[Task], Events]] = {
    "tck-stream-artifact-chunked": chunked,
    "tck-stream-artifact-text": text("Streamed text content"),
    "tck-stream-artifact-file": artifact(raw=b"tck", **FILE),
    "tck-stream-ordering-001": text("Ordered output"),
    "tck-stream-001": text("Stream hello from TCK"),
    "tck-stream-002": reply,
    "tck-stream-003": text("Stream task lifecycle"),
    "tck-artifact-file-url": artifact(url="https://example.com/output.txt", **FILE),
    "tck-artifact-file": artifact(raw=b"tck", **FILE),
    "tck-artifact-text": text("Generated text content"),
    "tck-artifact-data": artifact(data={"key": "value", "count": 42}),
    "tck-message-response": reply,
    "tck-input-required": ask,
    "tck-reject-task": reject,
    "test-resubscribe-message-id": linger,
}
"""By the beginning of the message's id, the longer before the shorter."""


@dataclass
class ConformanceAgent:
    id: str = INFO.id
    name: str = INFO.name
    description: str = INFO.description
    tools: list[Tool] = field(default_factory=list)

    async def handle(self, task: Task) -> AgentResponse:
        asked = task.message.message_id
        for beginning, answer in TRIGGERS.items():
            if asked.startswith(beginning):
                return AgentResponse(answer(task))
        return AgentResponse(text("Hello from TCK")(task))


class KitUrls:
    """Lets the kit register the addresses that it makes up, which resolve to nothing everywhere."""

    async def check(self, url: str) -> None:
        """Let it be."""


def parts_of(
    log: SqliteEventLog, runner: TaskRunner, push: PushNotifications, home: Path
) -> GatewayParts:
    """What the gateway serves: the one agent, as the orchestrator."""
    # the kit takes the fields for clients of 0.3 for faults of a card
    cards = Cards(push=True, old_clients=False)
    work = AgentWork(ConformanceAgent(), INFO, RunServices(RunGrants()))
    handler = AgentRequestHandler(
        INFO.id,
        lambda _: work,
        runner,
        info=INFO,
        extended_card=lambda _, url: cards.extended(INFO, url),
        push=push,
    )
    return GatewayParts(
        orchestrator=ServedAgent(INFO, handler),
        agents=lambda _: [],
        tools=lambda _: [],
        log=log,
        workspaces=Workspaces(home / "work"),
        cards=cards,
        access=Access(RoleAuthorizer(DEFAULT_ROLES)),
        authenticator=LoopbackAuthenticator(),
    )


@asynccontextmanager
async def served(home: Path, port: int, grpc_port: int) -> AsyncGenerator[str, None]:
    """The agent behind the gateway, over a log in ``home``; gives its address."""
    async with AsyncExitStack() as stack:
        log = await SqliteEventLog.open(home / "tasks.db")
        stack.push_async_callback(log.close)
        push = await stack.enter_async_context(open_push(home / "push.db", log, guard=KitUrls()))
        # The kit sends different messages under the same id, and means a task by each.
        runner = TaskRunner(log, idempotent=False)
        stack.push_async_callback(runner.aclose)
        parts = parts_of(log, runner, push, home)
        url = f"http://127.0.0.1:{port}"
        grpc = GrpcServer(parts, port=grpc_port, web_url=url, old_clients=False)
        server = await stack.enter_async_context(HttpServer(create_app(parts), port=port))
        await stack.enter_async_context(grpc)
        yield server.url


async def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the agent of the A2A conformance kit.")
    parser.add_argument("--port", type=int, default=9999)
    parser.add_argument("--grpc-port", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        async with (
            stop_signals() as stopped,
            served(Path(home), asked.port, asked.grpc_port) as url,
        ):
            print(url, flush=True)
            await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main())
