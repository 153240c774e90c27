"""Clients that speak A2A 0.3: all that is done for them is here, and can go with them.

The SDK translates; behind it is the same handler as for everybody else. A request that names no
version is theirs (A2A 1.0, section 3.6.2).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from a2a.compat.v0_3.jsonrpc_adapter import JSONRPC03Adapter
from a2a.compat.v0_3.rest_adapter import REST03Adapter
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.server.routes import ServerCallContextBuilder
from a2a.types import AgentCard
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from codin.gateway.auth import CallContexts
from codin.gateway.errors import LimitReached
from codin.gateway.quota import Turn, turn_of
from codin.gateway.responses import rest_limit_response, rpc_limit_response
from codin.task.door import NEW_TASK
from codin.task.handler import AgentRequestHandler


class OldRpc:
    """0.3's JSON-RPC methods."""

    def __init__(self, handler: AgentRequestHandler, calls: CallContexts) -> None:
        self._adapter = JSONRPC03Adapter(handler, _PaidBefore(calls))

    def serves(self, method: str) -> bool:
        """Whether it is one of 0.3's methods."""
        return self._adapter.supports_method(method)

    async def answer(self, request: Request, body: Any, call_id: Any, method: str) -> Response:
        """The answer to a request that is JSON-RPC already."""
        try:
            _pay(turn_of(request), method)
        except LimitReached as error:
            return rpc_limit_response(call_id, error)
        return await self._adapter.handle_request(call_id, method, body, request)


def old_routes(handler: AgentRequestHandler, calls: CallContexts) -> list[Route]:
    """0.3's HTTP+JSON, below ``/v1``."""
    found = REST03Adapter(handler, _PaidBefore(calls)).routes()
    return [
        Route(path, _paying(path, endpoint), methods=[method])
        for (path, method), endpoint in found.items()
    ]


class _PaidBefore(ServerCallContextBuilder):
    """The SDK begins a stream before the handler is asked, and takes a limit for a failure of ours:
    so a request has paid before the SDK gets it, a message that goes on with a task too."""

    def __init__(self, calls: CallContexts) -> None:
        self._calls = calls

    def build(self, request: Request) -> ServerCallContext:
        context = self._calls.build(request)
        del context.state[NEW_TASK]
        return context


_Endpoint = Callable[[Request], Awaitable[Response]]


def _paying(path: str, endpoint: _Endpoint) -> _Endpoint:
    async def answer(request: Request) -> Response:
        try:
            _pay(turn_of(request), path)
        except LimitReached as error:
            return rest_limit_response(error)
        return await endpoint(request)

    return answer


def _pay(turn: Turn, name: str) -> None:
    """``name`` is a method, or the path of one.

    Raises:
        LimitReached
    """
    if name.endswith((":subscribe", "/resubscribe", "message/stream", "message:stream")):
        turn.stream()
    if name.endswith(("message/send", "message:send", "message/stream", "message:stream")):
        turn.task()


def card_json(card: AgentCard) -> dict[str, Any]:
    """A card's JSON, with the fields in which clients of 0.3 look for an address when the card
    declares an interface for them."""
    found: dict[str, Any] = agent_card_to_dict(card)
    return found
