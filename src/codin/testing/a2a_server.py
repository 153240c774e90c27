"""An agent behind a plain A2A server of the SDK, for tests of what talks to remote agents."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import Message, TaskState, TaskStatus
from a2a.types import Task as A2ATask
from starlette.applications import Starlette

from codin.agent.a2a import EventEncoder, agent_message, text_part
from codin.agent.base import Agent, Task
from codin.agent.cards import OLD_PROTOCOL_VERSION, agent_card
from codin.agent.events import AgentEvent, Canceled, InputRequest, TextFinal
from codin.agent.wrapping import info_of
from codin.security import LOCAL_USER
from codin.tool.base import Tool

__all__ = ["A2AServer", "listening"]


class A2AServer(AgentExecutor):
    """Serves ``agent`` over JSON-RPC and HTTP+JSON::

        async with A2AServer(agent).serve() as url:
            ...

    ``tools`` are those of every task; ``canceled`` and ``headers`` tell what clients did. The
    conversation of a context is kept, and what an agent that asks needs to go on.
    """

    def __init__(self, agent: Agent, tools: Sequence[Tool] = ()) -> None:
        self.agent = agent
        self.tools = tuple(tools)
        self.canceled: list[str] = []
        self.headers: list[dict[str, str]] = []
        self._running: dict[str, asyncio.Task[None]] = {}
        self._said: dict[str, list[Message]] = {}
        self._states: dict[str, str | None] = {}

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Run the agent on the message."""
        self.headers.append(dict(context.call_context.state.get("headers", {})))
        task = self._task(context)
        if context.current_task is None:
            status = TaskStatus(state=TaskState.TASK_STATE_SUBMITTED)
            await event_queue.enqueue_event(
                A2ATask(id=task.id, context_id=task.context_id, status=status)
            )
        running = asyncio.ensure_future(self._drive(task, event_queue))
        self._running[task.id] = running
        try:
            await asyncio.wait({running})
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """End the agent's run, and say so."""
        task = self._task(context)
        self.canceled.append(task.id)
        if running := self._running.pop(task.id, None):
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        encoder = EventEncoder(task.id, task.context_id)
        await self._say(Canceled(), encoder, event_queue)

    @contextlib.asynccontextmanager
    async def serve(
        self, *, uds: str | None = None, bindings: Sequence[str] = (), old: bool = False
    ) -> AsyncIterator[str]:
        """Serve on a free loopback port (or a Unix socket); yields the agent's URL. The card names
        ``bindings`` only, where some are given; with ``old`` it is one of A2A 0.3."""
        sock, url = _listen(uds)
        card = agent_card(info_of(self.agent), url)
        for interface in tuple(card.supported_interfaces):
            if bindings and interface.protocol_binding not in bindings:
                card.supported_interfaces.remove(interface)
            elif old:
                interface.protocol_version = OLD_PROTOCOL_VERSION
        handler = DefaultRequestHandler(self, InMemoryTaskStore(), card)
        app = Starlette(
            routes=[
                *create_agent_card_routes(card),
                *create_jsonrpc_routes(handler, "/", enable_v0_3_compat=old),
                *create_rest_routes(handler, enable_v0_3_compat=old),
            ]
        )
        try:
            async with _running(app, sock):
                yield url
        finally:
            await handler.aclose()

    async def _drive(self, task: Task, queue: EventQueue) -> None:
        encoder = EventEncoder(task.id, task.context_id)
        text = ""
        async for event in await self.agent.handle(task):
            shown = event
            if isinstance(event, TextFinal):
                text = event.text
            elif isinstance(event, InputRequest):
                self._states[task.id], text = event.state, event.prompt
                shown = event.model_copy(update={"state": None})
            await self._say(shown, encoder, queue)
        said = [task.message, *([agent_message([text_part(text)])] if text else [])]
        self._said.setdefault(task.context_id, []).extend(said)

    async def _say(self, event: AgentEvent, encoder: EventEncoder, queue: EventQueue) -> None:
        for response in encoder.encode(event):
            await queue.enqueue_event(getattr(response, str(response.WhichOneof("payload"))))

    def _task(self, context: RequestContext) -> Task:
        known = context.current_task
        context_id = (known.context_id if known else context.context_id) or ""
        return Task(
            id=context.task_id or "",
            context_id=context_id,
            message=context.message or Message(),
            principal=LOCAL_USER,
            history=tuple(self._said.get(context_id, ())),
            state=self._states.get(context.task_id or ""),
            tools=self.tools,
        )


@contextlib.asynccontextmanager
async def listening(app: Starlette) -> AsyncIterator[str]:
    """Serve ``app`` on a free loopback port; yields its URL."""
    sock, url = _listen(None)
    async with _running(app, sock):
        yield url


@contextlib.asynccontextmanager
async def _running(app: Starlette, sock: socket.socket) -> AsyncIterator[None]:
    server = _quiet_server(app)
    running = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        while not server.started:  # noqa: ASYNC110 - the server gives no event
            await asyncio.sleep(0.005)
        yield
    finally:
        server.should_exit = True
        server.force_exit = True
        await asyncio.gather(running, return_exceptions=True)
        sock.close()


def _listen(uds: str | None) -> tuple[socket.socket, str]:
    if uds is not None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(uds)
        return sock, "http://a2a.server"
    # With its protocol, without which asyncio lets each piece wait for the one before (Nagle).
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    return sock, f"http://127.0.0.1:{sock.getsockname()[1]}"


def _quiet_server(app: Starlette) -> Any:
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Any:
            # The process that runs the test keeps its own signal handlers.
            yield

    return Server(
        uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=0)
    )
