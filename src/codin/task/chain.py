"""Who called whom: the agents above a call, and how far they may go."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from codin.security import Principal
from codin.task.errors import TaskError
from codin.task.goal import ORCHESTRATOR
from codin.task.log.base import EventLog

NOTE = "codin_note"
"""Key in the metadata of a part that an agent added to the message that it handed on."""


class CallRefused(TaskError):
    """An agent may not call this one now; the message says why, and what was called by whom."""


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How far agents may call others: ``depth`` calls below each other, ``tasks`` in all below one
    task of a user. Nobody above may have been asked the same already."""

    depth: int = 5
    tasks: int = 50


@dataclass(frozen=True, slots=True)
class Caller:
    """A task that an agent does, and what it was asked, as a digest."""

    agent_id: str
    asked: str


async def callers(log: EventLog, principal: Principal, task_id: str) -> list[Caller]:
    """The agents at work on the task and on those above it, the first one first.

    All is taken from the log, so that it holds after a restart, and whatever an agent says.
    """
    found: list[Caller] = []
    above: str | None = task_id
    while above is not None:
        row = await log.task(principal, above)
        [first] = await log.read(principal, above, 0, 1)
        found.append(Caller(row.agent_id, asked(first.body["history"][0].get("parts", ()))))
        above = row.parent_id
    return [caller for caller in reversed(found) if caller.agent_id != ORCHESTRATOR]


def check(above: Sequence[Caller], agent_id: str, parts: Sequence[Any], limits: CallLimits) -> None:
    """Return when the last of ``above`` may call the agent with a message of ``parts``.

    Raises:
        CallRefused: it would go too deep, or in a circle.
    """
    way = " -> ".join([*(caller.agent_id for caller in above), agent_id])
    if len(above) > limits.depth:
        raise CallRefused(
            f"agents may call each other {limits.depth} deep, and {way} is deeper: answer with what"
            " there is (calls.depth in codin.toml)"
        )
    if Caller(agent_id, asked(parts)) in above:
        raise CallRefused(
            f"{way} goes in a circle: {agent_id} has been asked the same already, and waits for the"
            " answer; ask something else, or answer with what there is"
        )


def asked(parts: Sequence[Any]) -> str:
    """A digest of a message's parts, as A2A's JSON, but notes; the same whatever the blanks between
    words."""
    plain = [
        {**part, "text": " ".join(part["text"].split())} if "text" in part else part
        for part in parts
        if NOTE not in part.get("metadata", {})
    ]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
