"""An agent somewhere else, reached over A2A by a URL or a Unix socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import httpx
from a2a.client import A2ACardResolver
from a2a.types import AgentCard
from a2a.utils.constants import PROTOCOL_VERSION_CURRENT, VERSION_HEADER
from a2a.utils.errors import A2AError
from google.protobuf.json_format import ParseError

from codin.agent.adapters._run import Run
from codin.agent.adapters.base import Adapter
from codin.agent.adapters.remote.bounded import PLAIN, bound
from codin.agent.adapters.remote.run import Conversation, RemoteAgentError
from codin.agent.adapters.remote.ways import BINDINGS, Way, ways
from codin.agent.base import AgentInfo, Task
from codin.agent.events import Failed, InputRequest
from codin.security import CardSignatureError, OutgoingRefused, Principal
from codin.unix_socket import SharedTransport

__all__ = ["RemoteAgent", "RemoteAgentError", "Trust"]

CONNECT_SECONDS = 10.0
PATIENCE_SECONDS = 300.0
"""How long a task elsewhere may stand still when nothing tells of it but looking."""

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


class RemoteAgent(Adapter):
    """An agent of A2A 1.0 or 0.3. The task goes there as a task of its own, in the same context.

    It is asked in the best way that its card offers, and in the next where that is unknown over
    there. What it answers is decoded as a foreign agent's; a stream that breaks or has no end is
    taken up again, and filled in from the task itself. Cancelling cancels the task over there. The
    history is not sent: the context's memory is the other side's.

    Args:
        transport: what connects to it, such as to a Unix socket of this machine, and stays open;
            the URL then only names the host and the path.
        headers: what to send with each request of a run, such as its token.
        trust: how far the other side is trusted; without it, whatever its card says is believed.
        patience: for how many seconds a task that cannot be followed may stand still.
    """

    framework: ClassVar[str] = "remote"

    def __init__(
        self,
        subject: str,
        info: AgentInfo,
        *,
        transport: SharedTransport | None = None,
        headers: PerTask | None = None,
        trust: Trust | None = None,
        patience: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(subject, info, **options)
        self.url = subject.rstrip("/") + "/"
        self._transport = transport
        self._headers = headers or (lambda _: {})
        self._trust = trust
        # What a socket of this machine leads to has no network between that could break.
        default = PATIENCE_SECONDS if transport is None else 0.0
        self._patience = default if patience is None else patience
        self._card: AgentCard | None = None
        self._ways: list[Way] = []

    async def card(self, *, refresh: bool = False) -> AgentCard:
        """The agent's own card, fetched when it is first needed.

        Raises:
            RemoteAgentError: it cannot be had.
        """
        if self._card is None or refresh:
            async with self._http() as http:
                self._card, self._ways = await self._fetch(http), []
        return self._card

    async def _run(self, task: Task, run: Run) -> None:
        async with self._http(task) as http:
            if self._card is None:
                self._card = await self._fetch(http)
            conversation = Conversation(
                http,
                self._card,
                self._known_ways(self._card),
                task=task,
                remote_id=self._remote_task(task),
                asked=self._asked,
                patience=self._patience,
            )
            try:
                await conversation.hold(run)
            finally:
                self._prefer(conversation)

    def _remote_task(self, task: Task) -> str:
        """The other side's task that the message answers; empty when it begins one."""
        return task.state or ""

    def _asked(self, request: InputRequest, remote_task: str) -> InputRequest:
        """A request of the other side's, with what is needed to answer it."""
        return request.model_copy(update={"state": remote_task})

    def _known_ways(self, card: AgentCard) -> list[Way]:
        self._ways = self._ways or ways(card, self.url)
        if not self._ways:
            offered = ", ".join(i.protocol_binding for i in card.supported_interfaces) or "nothing"
            raise RemoteAgentError(f"it offers {offered}; {' or '.join(BINDINGS)} is needed")
        return list(self._ways)

    def _prefer(self, held: Conversation) -> None:
        """Begin the next run in the way that was found, or in 0.3 where 1.0 could not be read."""
        if held.garbled:
            self._ways.sort(key=lambda way: not way.old)
        elif held.way is not None:
            self._ways.sort(key=lambda way: way != held.way)

    def _http(self, task: Task | None = None) -> httpx.AsyncClient:
        trust = self._trust
        return httpx.AsyncClient(
            transport=trust.transport() if trust else self._transport,
            auth=trust.auth(task.principal) if trust and task else None,
            headers={
                **PLAIN,
                VERSION_HEADER: PROTOCOL_VERSION_CURRENT,
                **(self._headers(task) if task else {}),
            },
            event_hooks={"response": [bound]},
            # Between two events of a stream any time may pass.
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            trust_env=self._transport is None and trust is None,
        )

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
        kind = type(error).__name__
        cause = error.__cause__
        if isinstance(cause, httpx.HTTPStatusError) and cause.response.status_code in {401, 403}:
            text = (
                f"it does not let this platform in ({error}): look at bearer_env or audience "
                "under its [[agents]] in codin.toml"
            )
            return Failed(error_type=kind, message=self._said(text))
        if isinstance(error, RemoteAgentError | A2AError | httpx.HTTPError | OutgoingRefused):
            return Failed(error_type=kind, message=self._said(str(error)))
        if isinstance(error, ValueError | KeyError | ParseError):
            text = f"its answer is not A2A ({kind}: {error})"
            return Failed(error_type="RemoteAgentError", message=self._said(text))
        return super()._explain(error)

    def _said(self, text: str) -> str:
        named = text.startswith(("the agent at", "no agent card at"))
        return text if named else f"the agent at {self.url}: {text}"
