"""Calls that have to be approved, asked of an MCP client's own user (MCP's elicitation)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from codin.security import Principal, RunGrant
from codin.tool.base import ApprovalNeeded, ToolRefused
from codin.tool.invocation import canonical
from codin.tool.policies.approval import Approver, PendingCall

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext

Ask = Callable[[PendingCall], Awaitable[str]]
"""What was answered to the question whether a call may be made: ``accept``, ``decline`` or
``cancel``. It raises ``ApprovalNeeded`` where nobody can be asked, or not within this request."""

_QUESTION = "approve"
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {_QUESTION: {"type": "boolean", "title": "Make this call"}},
    "required": [_QUESTION],
}


class ClientApproves(Approver):
    """Asks whoever made the call: ``asks`` has, by the ids of calls, those that can be asked."""

    def __init__(self, asks: Mapping[str, Ask]) -> None:
        self._asks = asks

    async def approve(self, grant: RunGrant, call: PendingCall) -> None:
        """Return when the client's user says yes."""
        ask = self._asks.get(call.call_id)
        if ask is None:
            raise ApprovalNeeded(call.reason)
        answer = await ask(call)
        if answer != "accept":
            raise ToolRefused(
                f"{call.name}: the call was not approved; the user's answer was {answer!r}. Do not "
                "make it again without being told to"
            )


class AskingRequest:
    """Asks the user of the client that made the request ``params``.

    A revision with a connection that lasts asks on it. Since 2026-07-28 the request is answered
    with the ``question``, and comes again with the answer (server/utilities, multi round-trip
    requests).
    """

    def __init__(
        self,
        context: ServerRequestContext[Any, Any],
        params: types.CallToolRequestParams,
        principal: Principal,
    ) -> None:
        self.question: types.InputRequiredResult | None = None
        self._context = context
        self._params = params
        self._principal = principal

    async def __call__(self, call: PendingCall) -> str:
        state = _state_of(call, self._principal)
        answers = self._params.input_responses or {}
        if self._params.request_state == state and _QUESTION in answers:
            return _answer(answers[_QUESTION])
        session = self._context.session
        capabilities = session.client_capabilities
        if capabilities is None or capabilities.elicitation is None:
            raise ApprovalNeeded(call.reason)
        if self._context.protocol_version in MODERN_PROTOCOL_VERSIONS:
            asked = types.ElicitRequest(params=_form(call))
            self.question = types.InputRequiredResult(
                input_requests={_QUESTION: asked}, request_state=state
            )
            raise ApprovalNeeded(call.reason)
        if not session.can_send_request:
            raise ApprovalNeeded(call.reason)
        form = _form(call)
        return _answer(
            await session.elicit_form(form.message, form.requested_schema, self._context.request_id)
        )


def _form(call: PendingCall) -> types.ElicitRequestFormParams:
    message = f"May this call be made?\n{call}\n{call.reason}"
    return types.ElicitRequestFormParams(message=message, requested_schema=_SCHEMA)


def _answer(given: object) -> str:
    if not isinstance(given, types.ElicitResult) or given.action != "accept":
        return given.action if isinstance(given, types.ElicitResult) else "decline"
    return "accept" if (given.content or {}).get(_QUESTION) is True else "decline"


def _state_of(call: PendingCall, principal: Principal) -> str:
    """What tells that an answer is about this call: it approves no other one. It is no proof of
    anything: a client answers for its user, as it does over A2A."""
    about = [principal.tenant, principal.subject, call.name, canonical(call.arguments)]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()
