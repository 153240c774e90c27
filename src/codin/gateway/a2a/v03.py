"""Clients that speak A2A 0.3: all that is done for them is here, and can go with them.

The SDK translates; behind it is the same handler as for everybody else. A request that names no
version is theirs (A2A 1.0, section 3.6.2).
"""

from __future__ import annotations

from typing import Any

from a2a.compat.v0_3.jsonrpc_adapter import JSONRPC03Adapter
from a2a.compat.v0_3.rest_adapter import REST03Adapter
from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.types import AgentCard
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from codin.gateway.auth import CallContexts
from codin.task.handler import AgentRequestHandler


class OldRpc:
    """0.3's JSON-RPC methods."""

    def __init__(self, handler: AgentRequestHandler, calls: CallContexts) -> None:
        self._adapter = JSONRPC03Adapter(handler, calls)

    def serves(self, method: str) -> bool:
        """Whether it is one of 0.3's methods."""
        return self._adapter.supports_method(method)

    async def answer(self, request: Request, body: Any, call_id: Any, method: str) -> Response:
        """The answer to a request that is JSON-RPC already."""
        return await self._adapter.handle_request(call_id, method, body, request)


def old_routes(handler: AgentRequestHandler, calls: CallContexts) -> list[Route]:
    """0.3's HTTP+JSON, below ``/v1``."""
    found = REST03Adapter(handler, calls).routes()
    return [Route(path, endpoint, methods=[method]) for (path, method), endpoint in found.items()]


def card_json(card: AgentCard) -> dict[str, Any]:
    """A card's JSON, with the fields in which clients of 0.3 look for an address when the card
    declares an interface for them."""
    found: dict[str, Any] = agent_card_to_dict(card)
    return found
