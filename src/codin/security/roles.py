"""The one table of what each role may do, and of the permissions that there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from codin.errors import InvalidInputError
from codin.security.scopes import covers

PERMISSIONS: Mapping[str, str] = {
    "agent.use": "see an agent, its card and its endpoints, and give it tasks",
    "agent.manage": "add, change and remove agents",
    "tool.call": "see a tool and have it called",
    "tool.manage": "add, change and remove tools",
    "task.create": "start tasks",
    "task.read": "see one's tasks, their events and files",
    "task.cancel": "cancel one's tasks",
    "task.push": "have the events of one's tasks pushed to an address",
    "memory.read": "read one's memory",
    "memory.write": "write and forget one's memory",
    "model.use": "have language models asked",
    "runtime.run": "run code in a sandbox",
    "runtime.deploy": "start and stop services that stay",
    "evolve.propose": "propose new tools and agents",
    "evolve.approve": "approve and roll back what was proposed",
    "card.extended": "see extended agent cards",
    "platform.read": "see health, metrics and what is deployed",
    "audit.read": "read the tenant's audit log",
    "auth.keys": "make, list and revoke API keys of the tenant",
    "auth.rotate": "rotate the keys that sign tokens and cards",
}
"""Permission to what it lets one do. A permission is asked for as ``name:resource``, or ``name``
where there is no resource."""

_WORK = frozenset(
    {
        "agent.use:*",
        "tool.call:*",
        "task.create*",
        "task.read*",
        "task.cancel*",
        "task.push*",
        "memory.read*",
        "memory.write*",
        "model.use*",
        "runtime.run*",
        "evolve.propose*",
        "card.extended*",
    }
)
_RUN = frozenset(
    {
        "agent.use:*",
        "agent.manage*",
        "tool.manage*",
        "task.read*",
        "task.cancel*",
        "runtime.deploy*",
        "card.extended*",
        "platform.read*",
        "audit.read*",
    }
)

DEFAULT_ROLES: Mapping[str, frozenset[str]] = {
    # All there is, and all that there will be.
    "owner": frozenset({"*"}),
    # All that people do and all that keeps the platform going, and who may come in.
    "admin": _WORK | _RUN | {"evolve.approve*", "auth.keys*", "auth.rotate*"},
    # Keeps the platform going, without working on it.
    "operator": _RUN,
    # Works with agents and tools, on what is theirs.
    "user": _WORK,
    # Looks, and sets nothing going: seeing an agent is using it, so it sees tasks only.
    "viewer": frozenset({"task.read*", "platform.read*"}),
    # Another program: gives tasks to agents, and sees what becomes of them.
    "service": frozenset(
        {
            "agent.use:*",
            "task.create*",
            "task.read*",
            "task.cancel*",
            "task.push*",
            "card.extended*",
        }
    ),
}
"""Role to patterns over permission names. What is not in it is not allowed."""


def checked_roles(names: Iterable[str]) -> frozenset[str]:
    """``names``, all of which are roles.

    Raises:
        InvalidInputError: one of them is not in the table.
    """
    roles = frozenset(names)
    for role in sorted(roles - DEFAULT_ROLES.keys()):
        raise InvalidInputError(
            f"there is no role {role!r}: it is one of {', '.join(DEFAULT_ROLES)}"
        )
    return roles


def permissions_of(role: str) -> tuple[str, ...]:
    """The permissions in the table that ``role`` has, by name.

    Raises:
        InvalidInputError: there is no such role.
    """
    checked_roles([role])
    return tuple(
        name
        for name in PERMISSIONS
        if any(covers(pattern, f"{name}:*") for pattern in DEFAULT_ROLES[role])
    )
