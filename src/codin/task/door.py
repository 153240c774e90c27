"""Who comes in to an agent's operations, from where, and whether they may.

Whatever transport a request came by says so in the state of its call context, under the keys here.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from a2a.server.context import ServerCallContext
from a2a.types import SendMessageRequest
from a2a.utils.errors import ExtensionSupportRequiredError, InvalidRequestError

from codin.agent.base import AgentInfo
from codin.security import Access, Principal
from codin.task.work import ParentTask

PRINCIPAL = "principal"
"""Key of the ``Principal``; without one nothing is answered."""

PARENT = "codin.parent"
"""Key of the ``ParentTask``. Only the in-memory transport sets it: what comes over a wire cannot
make itself a step of somebody's goal."""

ORIGIN = "codin.origin"
"""Key of the network address that the call came from, if it did."""


NEW_TASK = "codin.new_task"
"""Key of what is called before a message makes a task; it raises when the caller makes too many."""


class Door:
    """Lets callers in to the agent of ``info``, as ``access`` has it."""

    def __init__(self, info: AgentInfo, access: Access) -> None:
        self._info = info
        self._access = access

    def caller(self, context: ServerCallContext) -> Principal:
        """Who calls; what the agent requires of every caller has been checked then.

        Raises:
            InvalidRequestError: the call does not say.
            ExtensionSupportRequiredError: it lacks an extension that the agent requires.
        """
        principal = context.state.get(PRINCIPAL)
        if not isinstance(principal, Principal):
            raise InvalidRequestError("the call does not say who makes it: authenticate first")
        missing = set(self._info.required_extensions) - context.requested_extensions
        # a step of a goal is sent by the platform, which knows what its agents require
        if missing and PARENT not in context.state:
            raise ExtensionSupportRequiredError(
                f"agent {self._info.id!r} requires {', '.join(sorted(missing))}: name it in"
                " A2A-Extensions"
            )
        return principal

    async def enter(
        self, context: ServerCallContext, permission: str, resource: str = ""
    ) -> Principal:
        """Who calls, for something that changes nothing.

        Raises:
            ForbiddenError: they lack ``permission``.
            A2AError: as ``caller``.
        """
        principal = self.caller(context)
        await self._access.require(
            principal, permission, resource=resource, origin=_origin(context)
        )
        return principal

    def doing(
        self,
        principal: Principal,
        permission: str,
        resource: str,
        context: ServerCallContext,
        **detail: str,
    ) -> AbstractAsyncContextManager[None]:
        """Around what ``principal`` does by ``permission``, which is written down meanwhile.

        Raises:
            ForbiddenError: they lack it.
        """
        return self._access.doing(
            principal, permission, resource=resource, origin=_origin(context), detail=detail
        )

    def creating(
        self, principal: Principal, params: SendMessageRequest, context: ServerCallContext
    ) -> AbstractAsyncContextManager[None]:
        """``doing`` for a message, which begins a task or answers one."""
        message = params.message
        about = {"message": message.message_id, "task": message.task_id}
        return self.doing(principal, "task.create", self._info.id, context, **about)


def admit_task(context: ServerCallContext) -> None:
    """Let the call make a task, as whoever let the call in has it."""
    admit = context.state.get(NEW_TASK)
    if admit is not None:
        admit()


def _origin(context: ServerCallContext) -> str:
    """Where the call came from: an address, or the goal whose step it is."""
    parent = context.state.get(PARENT)
    if isinstance(parent, ParentTask):
        return f"task {parent.task_id}"
    return str(context.state.get(ORIGIN, ""))
