"""The door that every operation goes through: may they, and it is written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from codin.security.authorizer import Authorizer
from codin.security.errors import ForbiddenError
from codin.security.principal import Principal

if TYPE_CHECKING:
    from codin.security.audit import AuditLog


class Access:
    """Checks permissions with ``authorizer``, and keeps in ``audit`` who did what to what.

    What is only read is not written down unless it is refused. Without ``audit`` nothing is.
    """

    def __init__(self, authorizer: Authorizer, audit: AuditLog | None = None) -> None:
        self.authorizer = authorizer
        self._audit = audit

    async def require(
        self, principal: Principal, permission: str, *, resource: str = "", origin: str = ""
    ) -> None:
        """Return when ``principal`` holds ``permission``; for what changes nothing.

        Raises:
            ForbiddenError: it does not.
            SecurityFailure: the refusal cannot be written down.
        """
        try:
            self.authorizer.require(principal, permission)
        except ForbiddenError:
            await self._record(principal, permission, resource, origin, allowed=False)
            raise

    @asynccontextmanager
    async def doing(
        self,
        principal: Principal,
        permission: str,
        *,
        resource: str = "",
        origin: str = "",
        detail: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[None]:
        """Around what ``permission`` allows. It is written down while it is done, and has been by
        the end of the block: what is acknowledged after it stands in the audit log.

        Raises:
            ForbiddenError: ``principal`` lacks the permission; nothing has been done.
            SecurityFailure: it cannot be written down.
        """
        await self.require(principal, permission, resource=resource, origin=origin)
        if self._audit is None:
            yield
            return
        entry = self._record(principal, permission, resource, origin, allowed=True, detail=detail)
        writing = asyncio.ensure_future(entry)
        try:
            yield
        finally:
            await writing

    async def _record(
        self,
        principal: Principal,
        action: str,
        resource: str,
        origin: str,
        *,
        allowed: bool,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        if self._audit is None:
            return
        from codin.security.audit import AuditEntry

        entry = AuditEntry(action, resource, allowed, principal.actors, origin, detail or {})
        await self._audit.record(principal, entry)
