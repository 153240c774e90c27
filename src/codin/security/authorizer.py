"""Whether a principal may do something: by its roles, cut by its scopes, deny by default."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from codin.security.errors import ForbiddenError
from codin.security.principal import Principal
from codin.security.scopes import NOTHING, checked_scopes, common, covered

_REMEMBERED = 4096


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
        self._decided: dict[tuple[frozenset[str], frozenset[str], str], bool] = {}

    def allows(self, principal: Principal, permission: str) -> bool:
        # It is asked several times a request, and always says the same of the same.
        question = (principal.roles, principal.scopes, permission)
        decision = self._decided.get(question)
        if decision is None:
            if len(self._decided) >= _REMEMBERED:
                self._decided.clear()
            decision = self._decided[question] = self._decide(principal, permission)
        return decision

    def _decide(self, principal: Principal, permission: str) -> bool:
        granted = any(
            fnmatchcase(permission, pattern)
            for role in principal.roles
            for pattern in self._roles.get(role, frozenset())
        )
        narrowed = not principal.scopes or any(
            fnmatchcase(permission, pattern) for pattern in principal.scopes
        )
        return granted and narrowed

    def require_no_more(
        self, principal: Principal, roles: Iterable[str], scopes: frozenset[str]
    ) -> None:
        """Return when ``principal`` may itself do all that ``roles`` cut by ``scopes`` may.

        Who hands out a key or a token must not hand out more than they hold.

        Raises:
            ForbiddenError: it would be more.
            InvalidInputError: one of ``scopes`` is not a scope.
        """
        limits = checked_scopes(scopes)
        given = {pattern for role in roles for pattern in self._roles.get(role, frozenset())}
        own = {pattern for role in principal.roles for pattern in self._roles.get(role, ())}
        for pattern in given:
            cut = common(frozenset({pattern}), limits) - NOTHING
            if not covered(own, cut) or (principal.scopes and not covered(principal.scopes, cut)):
                raise ForbiddenError(
                    f"{principal.subject} of tenant {principal.tenant} may not give {pattern} "
                    "to others without holding it"
                )
