"""Permissions: deny by default, and a narrowed principal is never more than its roles."""

import pytest

from codin.security import (
    DEFAULT_ROLES,
    LOCAL_USER,
    ForbiddenError,
    Principal,
    RoleAuthorizer,
)

AUTHORIZER = RoleAuthorizer(DEFAULT_ROLES)


def test_nobody_may_anything_without_a_role() -> None:
    stranger = Principal("t", "s")
    assert not AUTHORIZER.allows(stranger, "tool.call:run_python")
    with pytest.raises(ForbiddenError, match=r"s of tenant t may not tool\.call:run_python"):
        AUTHORIZER.require(stranger, "tool.call:run_python")


def test_scopes_narrow_what_roles_allow() -> None:
    assert AUTHORIZER.allows(LOCAL_USER, "tool.call:run_python")
    narrowed = LOCAL_USER.narrowed(frozenset({"tool.call:read_*"}))
    assert AUTHORIZER.allows(narrowed, "tool.call:read_file")
    assert not AUTHORIZER.allows(narrowed, "tool.call:run_python")


def test_scopes_give_nothing_that_roles_do_not() -> None:
    roles = RoleAuthorizer({"reader": frozenset({"tool.call:read_file"})})
    greedy = Principal("t", "s", roles=frozenset({"reader"}), scopes=frozenset({"*"}))
    assert not roles.allows(greedy, "tool.call:run_python")
