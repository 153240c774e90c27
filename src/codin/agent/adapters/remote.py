"""An agent somewhere else, reached over A2A by a URL or a Unix socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import httpx
from a2a.client import (
    A2ACardResolver,
    A2AClientError,
    Client,
    ClientCallContext,
    ClientConfig,
    ClientFactory,
)
from a2a.types import (
    AgentCard,
    CancelTaskRequest,
    GetTaskRequest,
    Message,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
)
from a2a.utils.errors import A2AError

from codin.agent.a2a import EventDecoder
from codin.agent.adapters._bounded import PLAIN, bound
from codin.agent.adapters._run import Run
from codin.agent.adapters.base import Adapter, Waiting
from codin.agent.base import AgentError, AgentInfo, Task
from codin.agent.events import Failed, InputRequest
from codin.security import CardSignatureError, Principal
from codin.unix_socket import unix_transport

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
CANCEL_SECONDS = 5.0
"""How long a cancelled run waits for the other side: for its task's id, then for its end."""

PerTask = Callable[[Task], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Trust:
    """How far the other side is trusted, and how it is told who asks.

    ``check`` looks at its card, and raises when it will not do. ``transport`` makes what connects,
    to where the card points too. ``auth`` shows on each request in whose name it is.
    """

    check: Callable[[AgentCard], Awaitable[object]]
    transport: Callable[[], httpx.AsyncBaseTransport]
    auth: Callable[[Principal], httpx.Auth | None]


class RemoteAgentError(AgentError):
    """The agent at the other end cannot be reached or does not keep to the protocol."""


class RemoteAgent(Adapter):
    """An A2A agent. The task goes there as a task of its own, in the same context.

    What it answers is decoded as a foreign agent's; a stream that breaks or ends without an end is
    taken up again, once, and then filled in from the task itself. Cancelling cancels the task over
    there. The history is not sent: the context's memory is the other side's.

    Args:
        uds: path of a Unix socket to connect to; the URL then only names the host and the path.
        headers: what to send with each request of a run, such as its token.
        trust: how far the other side is trusted; without it, whatever its card says is believed.
    """

    framework: ClassVar[str] = "remote"

    def __init__(
        self,
        subject: str,
        info: AgentInfo,
        *,
        uds: str | None = None,
        headers: PerTask | None = None,
        trust: Trust | None = None,
        **options: Any,
    ) -> None:
        super().__init__(subject, info, **options)
        self.url = subject.rstrip("/") + "/"
        self._uds = uds
        self._headers = headers or (lambda _: {})
        self._trust = trust
        self._card: AgentCard | None = None
        self._waiting: Waiting[str] = Waiting()

    async def card(self, *, refresh: bool = False) -> AgentCard:
        """The agent's own card, fetched when it is first needed.

        Raises:
            RemoteAgentError: it cannot be had.
        """
        if self._card is None or refresh:
            async with self._http() as http:
                self._card = await self._fetch(http)
        return self._card

    async def _run(self, task: Task, run: Run) -> None:
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(self._http(task))
            if self._card is None:
                self._card = await self._fetch(http)
            client = self._client(http, self._card)
            waiting = self._waiting
            conversation = _Conversation(
                client, task, waiting.take(task) or "", lambda remote: waiting.keep(task, remote)
            )
            await conversation.hold(run)

    def _http(self, task: Task | None = None) -> httpx.AsyncClient:
        trust = self._trust
        transport = unix_transport(self._uds) if self._uds else None
        return httpx.AsyncClient(
            transport=trust.transport() if trust else transport,
            auth=trust.auth(task.principal) if trust and task else None,
            headers={**PLAIN, **(self._headers(task) if task else {})},
            event_hooks={"response": [bound]},
            # Between two events of a stream any time may pass.
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            trust_env=self._uds is None and trust is None,
        )

    def _client(self, http: httpx.AsyncClient, card: AgentCard) -> Client:
        config = ClientConfig(
            httpx_client=http, supported_protocol_bindings=["JSONRPC", "HTTP+JSON"]
        )
        try:
            return ClientFactory(config).create(card)
        except ValueError as error:
            offered = ", ".join(i.protocol_binding for i in card.supported_interfaces) or "nothing"
            raise RemoteAgentError(
                f"the agent at {self.url} offers {offered}; JSONRPC or HTTP+JSON is needed"
            ) from error

    async def _fetch(self, http: httpx.AsyncClient) -> AgentCard:
        try:
            card = await A2ACardResolver(http, self.url).get_agent_card()
        except (A2AError, httpx.HTTPError, ValueError) as error:
            raise RemoteAgentError(f"no agent card at {self.url}: {error}") from error
        if self._trust is not None:
            try:
                await self._trust.check(card)
            except CardSignatureError as error:
                raise RemoteAgentError(
                    f"the agent at {self.url} is not trusted: {error}"
                ) from error
        return card

    def _explain(self, error: Exception) -> Failed:
        if isinstance(error, RemoteAgentError):
            return Failed(error_type="RemoteAgentError", message=str(error))
        if isinstance(error, A2AError | httpx.HTTPError):
            return Failed(
                error_type=type(error).__name__, message=f"the agent at {self.url}: {error}"
            )
        return super()._explain(error)


class _Conversation:
    """One message to the other side and all that comes back for it."""

    def __init__(
        self, client: Client, task: Task, remote_id: str, keep: Callable[[str], None]
    ) -> None:
        self._client = client
        self._message = _outgoing(task, remote_id)
        self._context = ClientCallContext()
        self._task_id = remote_id
        self._keep = keep
        self._decoder = EventDecoder()

    async def hold(self, run: Run) -> None:
        """Tell ``run`` all that comes, to the end."""
        try:
            await self._follow(self._sent(), run)
            if not self._decoder.ended:
                await self._take_up(run)
        except asyncio.CancelledError:
            await self._cancel()
            raise

    async def _follow(self, stream: AsyncGenerator[StreamResponse, None], run: Run) -> None:
        async with aclosing(stream):
            async for response in stream:
                await self._tell(response, run)
                if self._decoder.ended:
                    return

    async def _tell(self, response: StreamResponse, run: Run) -> None:
        for event in self._decoder.decode(response):
            if isinstance(event, InputRequest):
                # Before it is said: whoever hears it may answer at once.
                self._keep(self._task_id)
            await run.emit(event)

    async def _sent(self) -> AsyncGenerator[StreamResponse, None]:
        stream = self._client.send_message(
            SendMessageRequest(message=self._message), context=self._context
        )
        async for response in self._named(stream):
            yield response

    async def _named(self, stream: Any) -> AsyncGenerator[StreamResponse, None]:
        """The stream's responses; a break is no end as long as the task is known."""
        try:
            async with aclosing(stream):
                response = await self._first(stream)
                while response is not None:
                    yield response
                    response = await anext(stream, None)
        except (A2AClientError, httpx.HTTPError) as error:
            if not self._task_id:
                raise
            logger.info("the stream of remote task %s broke: %s", self._task_id, error)

    async def _first(self, stream: Any) -> StreamResponse | None:
        """The first response. It names the task, so it is waited for even when cancelled."""
        coming = asyncio.ensure_future(anext(stream, None))
        try:
            response = await asyncio.shield(coming)
        except asyncio.CancelledError:
            with suppress(A2AError, httpx.HTTPError, TimeoutError):
                async with asyncio.timeout(CANCEL_SECONDS):
                    self._remember(await coming)
            raise
        self._remember(response)
        return response

    def _remember(self, response: StreamResponse | None) -> None:
        match response.WhichOneof("payload") if response is not None else None:
            case "task":
                self._task_id = response.task.id  # type: ignore[union-attr]
            case "status_update":
                self._task_id = response.status_update.task_id  # type: ignore[union-attr]
            case "artifact_update":
                self._task_id = response.artifact_update.task_id  # type: ignore[union-attr]

    async def _take_up(self, run: Run) -> None:
        """Fill in what a broken stream lacked: from the task, or by following it further."""
        if not self._task_id:
            raise RemoteAgentError("the agent answered with an empty stream")
        if await self._fetched(run):
            return
        with suppress(A2AError, NotImplementedError, httpx.HTTPError):
            request = SubscribeToTaskRequest(id=self._task_id)
            await self._follow(self._client.subscribe(request, context=self._context), run)  # type: ignore[arg-type]
        if not self._decoder.ended and not await self._fetched(run):
            raise RemoteAgentError("the stream ended before the agent's task did")

    async def _fetched(self, run: Run) -> bool:
        request = GetTaskRequest(id=self._task_id)
        task = await self._client.get_task(request, context=self._context)
        await self._tell(StreamResponse(task=task), run)
        return self._decoder.ended

    async def _cancel(self) -> None:
        if not self._task_id or self._decoder.ended:
            return
        with suppress(A2AError, httpx.HTTPError, TimeoutError):
            async with asyncio.timeout(CANCEL_SECONDS):
                request = CancelTaskRequest(id=self._task_id)
                await self._client.cancel_task(request, context=self._context)


def _outgoing(task: Task, remote_id: str) -> Message:
    """The task's message, as a message of the remote task: a new one, or the one that asked."""
    message = Message()
    message.CopyFrom(task.message)
    message.task_id = remote_id
    message.context_id = task.context_id
    return message
