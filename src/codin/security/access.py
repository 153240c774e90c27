"""The door that every operation goes through: may they, and it is written down."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from contextlib import AbstractAsyncContextManager
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
            writing = self.begin(principal, permission, resource, origin, allowed=False)
            if writing is not None:
                await writing
            raise

    def doing(
        self,
        principal: Principal,
        permission: str,
        *,
        resource: str = "",
        origin: str = "",
        detail: Mapping[str, Any] | None = None,
    ) -> AbstractAsyncContextManager[None]:
        """Around what ``permission`` allows. It is written down while it is done, and has been by
        the end of the block: what is acknowledged after it stands in the audit log.

        Raises:
            ForbiddenError: ``principal`` lacks the permission; nothing has been done.
            SecurityFailure: it cannot be written down.
        """
        return _Doing(self, principal, permission, resource, origin, detail or {})

    def begin(
        self,
        principal: Principal,
        action: str,
        resource: str,
        origin: str,
        *,
        allowed: bool,
        detail: Mapping[str, Any] | None = None,
    ) -> Awaitable[object] | None:
        """Begin to write it down; what is to be awaited, if anything is written."""
        if self._audit is None:
            return None
        from codin.security.audit import AuditEntry

        entry = AuditEntry(action, resource, allowed, principal.actors, origin, detail or {})
        return self._audit.begin(principal, entry)


class _Doing:
    """One thing that is done: who, by which permission, to what, from where, small facts."""

    def __init__(self, access: Access, *what: Any) -> None:
        self._access = access
        self._what = what
        self._writing: Awaitable[object] | None = None

    async def __aenter__(self) -> None:
        principal, permission, resource, origin, detail = self._what
        await self._access.require(principal, permission, resource=resource, origin=origin)
        self._writing = self._access.begin(
            principal, permission, resource, origin, allowed=True, detail=detail
        )

    async def __aexit__(self, *_: object) -> None:
        if self._writing is not None:
            await self._writing
