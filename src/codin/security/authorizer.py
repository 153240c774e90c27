"""What a principal may do: one table, deny by default."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from fnmatch import fnmatchcase

from codin.errors import CodinError
from codin.security.principal import Principal


class ForbiddenError(CodinError):
    """The principal lacks the permission."""


class Authorizer(ABC):
    """Decides on a permission, named ``room.verb:resource`` (``tool.call:run_python``).

    Implementations are pure and fast: they are asked on listing and again on each use.
    """

    @abstractmethod
    def allows(self, principal: Principal, permission: str) -> bool:
        """Whether ``principal`` holds ``permission``. Never raises."""

    def require(self, principal: Principal, permission: str) -> None:
        """Return when ``principal`` holds ``permission``.

        Raises:
            ForbiddenError: when it does not.
        """
        if not self.allows(principal, permission):
            raise ForbiddenError(
                f"{principal.subject} of tenant {principal.tenant} may not {permission}"
            )


class RoleAuthorizer(Authorizer):
    """Permissions by role, as shell patterns over permission names."""

    def __init__(self, roles: Mapping[str, frozenset[str]]) -> None:
        self._roles = dict(roles)

    def allows(self, principal: Principal, permission: str) -> bool:
        granted = any(
            fnmatchcase(permission, pattern)
            for role in principal.roles
            for pattern in self._roles.get(role, frozenset())
        )
        narrowed = not principal.scopes or any(
            fnmatchcase(permission, pattern) for pattern in principal.scopes
        )
        return granted and narrowed


DEFAULT_ROLES: Mapping[str, frozenset[str]] = {"owner": frozenset({"*"})}
