"""One message to an agent elsewhere, and all that comes back for it, to the end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

import httpx
from a2a.client import A2AClientError
from a2a.types import (
    AgentCard,
    CancelTaskRequest,
    GetTaskRequest,
    Message,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.types import Task as A2ATask
from a2a.utils.errors import (
    A2AError,
    InvalidRequestError,
    MethodNotFoundError,
    TaskNotFoundError,
    UnsupportedOperationError,
    VersionNotSupportedError,
)

from codin.agent.a2a import RECALLED, EventDecoder
from codin.agent.adapters._run import Run
from codin.agent.adapters.remote.answers import Waiting, Wanted, wanted_by
from codin.agent.adapters.remote.ways import Way, fit, is_langgraph
from codin.agent.base import AgentError, Task
from codin.agent.events import InputRequest
from codin.security import OutgoingRefused

if TYPE_CHECKING:
    from a2a.client.transports.base import ClientTransport

logger = logging.getLogger(__name__)

CANCEL_SECONDS = 5.0
"""How long a cancelled run waits for the other side: for its task's id, then for its end."""

_PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds between two looks at a task that cannot be followed; the last goes on."""

_NOT_TAKEN = {400, 404, 405, 415, 422, 501, 505}
"""Of HTTP: nobody has looked at what the message says."""

_UNKNOWN_METHOD = (
    MethodNotFoundError,
    UnsupportedOperationError,
    VersionNotSupportedError,
    InvalidRequestError,
)
_TROUBLE = (A2AError, httpx.HTTPError, OutgoingRefused)


class RemoteAgentError(AgentError):
    """The agent at the other end cannot be reached or does not keep to the protocol."""


class Conversation:
    """A message of ``task`` on its way. ``remote_id`` is the state of a task that it
    answers, if any.

    ``asked`` puts into a request of the other side's what is needed to answer it. ``ways`` are
    tried in their order, as long as nobody has taken the message; ``way`` is the one by which it
    went. ``garbled`` says that what came could only be read in part. ``patience`` is for how many
    seconds a task that cannot be followed may stand still.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        card: AgentCard,
        ways: Sequence[Way],
        *,
        task: Task,
        remote_id: str,
        asked: Callable[[InputRequest, str], InputRequest],
        patience: float,
    ) -> None:
        self.way: Way | None = None
        self.garbled = False
        waiting = Waiting.of(remote_id)
        self.task_id = waiting.task_id
        self._ways = ways
        self._asked = asked
        self._card = card
        self._http = http
        self._message = _outgoing(task, waiting, card)
        self._patience = patience
        self._transport: ClientTransport = ways[0].transport(http, card)
        self._decoder = EventDecoder()
        self._heard = False
        self._broken = False
        self._followable = True

    async def hold(self, run: Run) -> None:
        """Tell ``run`` all that comes.

        Raises:
            RemoteAgentError: there is no way to it, or what it said has no end.
            A2AError: it refuses.
        """
        try:
            await self._send(run)
            if not self._decoder.ended:
                await self._take_up(run)
        except asyncio.CancelledError:
            await self._cancel()
            raise

    async def _send(self, run: Run) -> None:
        failed: list[tuple[Way, Exception]] = []
        for way in self._ways:
            if any(way.origin == dead.origin for dead, error in failed if _unreachable(error)):
                continue
            self._transport = way.transport(self._http, self._card)
            try:
                await self._follow(self._sent(way), run)
            except _TROUBLE as error:
                if self._heard or not _not_taken(error):
                    raise
                failed.append((way, error))
            else:
                self.way = way
                return
        raise _no_way(failed) from failed[0][1]

    async def _sent(self, way: Way) -> AsyncGenerator[StreamResponse, None]:
        request = SendMessageRequest(message=self._message)
        stream = self._transport.send_message_streaming(request) if way.streams else None
        try:
            async with aclosing(stream or self._at_once(request)) as responses:
                response = await self._first(responses)
                while response is not None:
                    yield response
                    response = await anext(responses, None)
        except (A2AClientError, httpx.HTTPError) as error:
            # A break is no end as long as the task is known.
            if not (self._heard and self.task_id):
                raise
            self._broken = True
            logger.info("the stream of remote task %s broke: %s", self.task_id, error)

    async def _at_once(self, request: SendMessageRequest) -> AsyncGenerator[StreamResponse, None]:
        response = await self._transport.send_message(request)
        if response.HasField("task"):
            yield StreamResponse(task=response.task)
        elif response.HasField("message"):
            yield StreamResponse(message=response.message)

    async def _first(
        self, responses: AsyncGenerator[StreamResponse, None]
    ) -> StreamResponse | None:
        """The first response. It names the task, so it is waited for even when cancelled."""
        coming = asyncio.ensure_future(anext(responses, None))
        try:
            response = await asyncio.shield(coming)
        except asyncio.CancelledError:
            with suppress(Exception):
                async with asyncio.timeout(CANCEL_SECONDS):
                    self._remember(await coming)
            raise
        self._heard = True
        return response

    async def _follow(self, stream: AsyncGenerator[StreamResponse, None], run: Run) -> None:
        async with aclosing(stream) as responses:
            async for response in responses:
                self._remember(response)
                await self._tell(response, run)
                if self._decoder.ended:
                    return

    async def _tell(self, response: StreamResponse, run: Run) -> None:
        if self._broken and _is_end(response):
            # What was missed between two streams is in the task.
            with suppress(*_TROUBLE):
                response = StreamResponse(task=await self._fetch())
        for event in self._decoder.decode(response):
            if isinstance(event, InputRequest):
                await run.emit(self._question(event, _wanted(response)))
            else:
                await run.emit(event)

    def _question(self, request: InputRequest, wanted: Sequence[Wanted]) -> InputRequest:
        if wanted:
            approval = all(one.is_approval for one in wanted)
            prompt = "\n".join(one.prompt for one in wanted)
            said = {"prompt": prompt, "request_kind": "approval" if approval else "input"}
            request = request.model_copy(update=said)
        return self._asked(request, Waiting(self.task_id, tuple(wanted)).state())

    def _remember(self, response: StreamResponse | None) -> None:
        if response is None:
            return
        match response.WhichOneof("payload"):
            case "task":
                self.task_id = response.task.id
            case "status_update":
                self.task_id = response.status_update.task_id
            case "artifact_update":
                self.task_id = response.artifact_update.task_id
            case None:
                self.garbled = True

    async def _take_up(self, run: Run) -> None:
        """Go on from a stream that had no end: by the task itself, and by following it again."""
        if not self.task_id:
            raise RemoteAgentError("it answered with an empty stream; look into its own log")
        clean, self._broken = not self._broken, True
        last, since, looks = b"", time.monotonic(), 0
        while not self._decoder.ended:
            task = await self._looked_at(clean, run)
            if self._decoder.ended:
                return
            if (now := task.SerializeToString()) != last:
                last, since = now, time.monotonic()
            if not await self._followed_again(run):
                if looks and time.monotonic() - since >= self._patience:
                    raise RemoteAgentError(
                        "the stream ended before the agent's task did, and the task has stood "
                        f"still for {self._patience:g} s; look into the agent's own log"
                    )
                await asyncio.sleep(_PAUSES[min(looks, len(_PAUSES) - 1)])
            looks += 1

    async def _looked_at(self, clean: bool, run: Run) -> A2ATask:
        try:
            task = await self._fetch()
        except TaskNotFoundError as error:
            raise RemoteAgentError(
                "the stream ended before the agent's task did, and it does not know the task any "
                "more; send the message again"
            ) from error
        except _TROUBLE as error:
            if not _not_taken(error) or _unreachable(error):
                raise
            if not (clean and self._decoder.said):
                raise RemoteAgentError(
                    "the stream ended before the agent's task did, and it cannot be asked for "
                    "the task; send the message again"
                ) from error
            # All that can be known of it: it said something and closed the stream in order.
            for event in self._decoder.close():
                await run.emit(event)
            return A2ATask()
        await self._tell(StreamResponse(task=task), run)
        return task

    async def _fetch(self) -> A2ATask:
        task = await self._transport.get_task(GetTaskRequest(id=self.task_id))
        if is_langgraph(self._card) and task.history:
            # "Task completed successfully", whatever the agent has said
            task.status.ClearField("message")
        return task

    async def _followed_again(self, run: Run) -> bool:
        """Whether the task could be followed further."""
        if not self._followable or self.way is None or not self.way.streams:
            return False
        request = SubscribeToTaskRequest(id=self.task_id)
        heard = 0

        async def counted() -> AsyncGenerator[StreamResponse, None]:
            nonlocal heard
            async with aclosing(self._transport.subscribe(request)) as responses:
                async for response in responses:
                    heard += 1
                    yield response

        try:
            await self._follow(counted(), run)
        except _TROUBLE as error:
            self._followable = not _not_taken(error)
        return heard > 1  # the first is the task as it stands

    async def _cancel(self) -> None:
        if not self.task_id or self._decoder.ended:
            return
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                await self._transport.cancel_task(CancelTaskRequest(id=self.task_id))
        except Exception as error:
            logger.warning("remote task %s could not be cancelled: %s", self.task_id, error)


def _outgoing(task: Task, waiting: Waiting, card: AgentCard) -> Message:
    """The task's message, as a message of the remote task: a new one, or the one that asked."""
    message = Message()
    message.CopyFrom(task.message)
    if RECALLED in message.metadata:
        del message.metadata[RECALLED]
    message.task_id = waiting.task_id
    waiting.shape(message)
    message.context_id = task.context_id
    fit(message, card)
    return message


def _wanted(response: StreamResponse) -> Sequence[Wanted]:
    said = response.task if response.HasField("task") else response.status_update
    return wanted_by(said.status.message)


def _is_end(response: StreamResponse) -> bool:
    state = response.status_update.status.state
    return response.HasField("status_update") and state == TaskState.TASK_STATE_COMPLETED


def _unreachable(error: Exception) -> bool:
    causes = (error, error.__cause__)
    return any(
        isinstance(e, httpx.ConnectError | httpx.ConnectTimeout | OutgoingRefused) for e in causes
    )


def _not_taken(error: Exception) -> bool:
    """Whether nobody over there has begun anything, so that the message may be sent again."""
    if _unreachable(error) or isinstance(error, _UNKNOWN_METHOD):
        return True
    cause = error.__cause__
    if isinstance(cause, httpx.HTTPStatusError):
        return cause.response.status_code in _NOT_TAKEN
    return isinstance(cause, httpx.UnsupportedProtocol | httpx.InvalidURL)


def _no_way(failed: Sequence[tuple[Way, Exception]]) -> RemoteAgentError:
    said = "; ".join(
        dict.fromkeys(
            f"{way.binding} {'0.3' if way.old else '1.0'} at {way.url}: {error}"
            for way, error in failed
        )
    )
    if all(_unreachable(error) for _, error in failed):
        return RemoteAgentError(
            f"the addresses of its card cannot be reached from here ({said}); its server has to "
            "name the address that it has outside"
        )
    return RemoteAgentError(f"it takes no message in any way that is known here ({said})")
