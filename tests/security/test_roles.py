"""The one table: deny by default, each name known, nobody hands out more than they hold."""

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from security_people import ADMIN, OWNER, USER

import codin
from codin.errors import InvalidInputError
from codin.security import DEFAULT_ROLES, PERMISSIONS, ForbiddenError, Principal, RoleAuthorizer
from codin.security.roles import checked_roles, permissions_of

AUTHORIZER = RoleAuthorizer(DEFAULT_ROLES)
SOURCE = Path(codin.__file__).parent
# Where a permission is asked for: ...allows(who, "x.y:…"), require(who, "x.y"), or a constant.
ASKED = re.compile(r'(?:allows|require|_allows)\(\s*[\w.()]+,\s*f?"([a-z_]+\.[a-z_]+)[:"]')
ROOMS = "agent|tool|task|memory|model|runtime|evolve|card|platform|audit|auth"
NAMED = re.compile(
    rf'f"((?:{ROOMS})\.[a-z]+):\{{|^[A-Z_]+ = "((?:{ROOMS})\.(?!db"|sock")[a-z]+)"$', re.MULTILINE
)


def names_in_source() -> set[str]:
    texts = [
        file.read_text(encoding="utf-8")
        for file in SOURCE.rglob("*.py")
        if file.name != "roles.py" and "testing" not in file.parts
    ]
    asked = {name for text in texts for name in ASKED.findall(text)}
    return asked | {one or other for text in texts for one, other in NAMED.findall(text)}


def test_every_permission_that_is_asked_for_has_a_row() -> None:
    found = names_in_source()
    known = {"agent.use", "tool.call", "audit.read", "auth.keys"}
    assert known <= found, "the search finds what is there"
    assert found - PERMISSIONS.keys() == set()


def test_every_pattern_of_a_role_is_about_a_permission_that_there_is() -> None:
    for role, patterns in DEFAULT_ROLES.items():
        for pattern in patterns:
            names = [*PERMISSIONS, *(f"{name}:x" for name in PERMISSIONS)]
            assert any(fnmatchcase(name, pattern) for name in names), f"{role}: {pattern}"


@pytest.mark.parametrize(
    ("role", "permission", "allowed"),
    [
        ("owner", "anything.at:all", True),
        ("admin", "auth.keys", True),
        ("admin", "tool.call:run_python", True),
        ("operator", "task.cancel:1", True),
        ("operator", "tool.call:run_python", False),
        ("operator", "auth.keys", False),
        ("user", "tool.call:run_python", True),
        ("user", "task.create", True),
        ("user", "audit.read", False),
        ("user", "evolve.approve:x", False),
        ("viewer", "task.read:1", True),
        ("viewer", "task.create", False),
        ("viewer", "agent.use:echo", False),
        ("service", "agent.use:echo", True),
        ("service", "tool.call:run_python", False),
        ("unheard-of", "task.read", False),
    ],
)
def test_the_table(role: str, permission: str, allowed: bool) -> None:
    caller = Principal("t", "s", frozenset({role}))
    assert AUTHORIZER.allows(caller, permission) is allowed


def test_only_owners_have_what_is_not_in_the_table() -> None:
    for role in DEFAULT_ROLES:
        caller = Principal("t", "s", frozenset({role}))
        assert AUTHORIZER.allows(caller, "new.thing:x") is (role == "owner")
        assert "*" not in DEFAULT_ROLES[role] or role == "owner"


def test_unknown_roles_are_named() -> None:
    with pytest.raises(InvalidInputError, match="there is no role 'root'"):
        checked_roles(["user", "root"])
    with pytest.raises(InvalidInputError, match="there is no role 'root'"):
        permissions_of("root")


@pytest.mark.parametrize(
    ("giver", "roles", "scopes"),
    [
        (USER, {"admin"}, set()),
        (ADMIN, {"owner"}, set()),
        (ADMIN, {"owner"}, {"new.thing"}),
        (ADMIN.narrowed(frozenset({"auth.keys"})), {"user"}, set()),
        (ADMIN.narrowed(frozenset({"auth.keys"})), {"user"}, {"tool.call:x"}),
    ],
)
def test_nobody_hands_out_more_than_they_hold(
    giver: Principal, roles: set[str], scopes: set[str]
) -> None:
    with pytest.raises(ForbiddenError, match="may not give"):
        AUTHORIZER.require_no_more(giver, roles, frozenset(scopes))


@pytest.mark.parametrize(
    ("giver", "roles", "scopes"),
    [
        (OWNER, {"owner"}, set()),
        (ADMIN, {"user", "viewer"}, set()),
        (ADMIN, {"owner"}, {"agent.use:echo"}),
        (ADMIN.narrowed(frozenset({"auth.keys", "tool.call:*"})), {"user"}, {"tool.call:x"}),
    ],
)
def test_what_they_hold_they_may_hand_out(
    giver: Principal, roles: set[str], scopes: set[str]
) -> None:
    AUTHORIZER.require_no_more(giver, roles, frozenset(scopes))
