"""Copies of what Agno runs, with the tools of the run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from codin.agent.base import AgentError

_INSIDE = ("members", "agent", "team", "workflow", "steps", "else_steps", "choices")
"""Where teams, workflows and the kinds of steps keep what they run."""


def equipped(subject: Any, tools: Sequence[Any]) -> Any:
    """A copy of an agent, a team or a workflow in which every agent and team has ``tools`` too."""
    made = subject.deep_copy(update={"telemetry": False})
    for part in unreported(made):
        if hasattr(part, "model") and tools:
            part.tools = _joined(part.tools, tools)
    return made


def unreported(subject: Any) -> list[Any]:
    """All agents, teams and workflows that ``subject`` consists of; none tells Agno of its runs."""
    parts = parts_of(subject)
    for part in parts:
        part.telemetry = False
    return parts


def parts_of(subject: Any) -> list[Any]:
    """All agents, teams and workflows that ``subject`` consists of, and itself, if it is one."""
    return list(_parts(subject, set()))


def own_words(subject: Any) -> str:
    """What an agent, a team or a workflow says of itself: a description, a role, or the beginning
    of its instructions."""
    for attribute in ("description", "role", "instructions"):
        text = getattr(subject, attribute, None)
        first = text[0] if isinstance(text, list) and text else text
        if isinstance(first, str) and first.strip():
            return first.strip().partition("\n")[0][:200]
    return ""


def _parts(subject: Any, seen: set[int]) -> Iterator[Any]:
    if id(subject) in seen or isinstance(subject, str):
        return
    seen.add(id(subject))
    if isinstance(subject, (list, tuple)):
        for each in subject:
            yield from _parts(each, seen)
        return
    if hasattr(subject, "arun") and hasattr(subject, "telemetry"):
        yield subject
    for name in _INSIDE:
        inside = getattr(subject, name, None)
        if inside is not None and (not callable(inside) or hasattr(inside, "arun")):
            yield from _parts(inside, seen)


def _joined(own: Any, tools: Sequence[Any]) -> Any:
    if not callable(own):
        return [*(own or []), *tools]
    return _also(own, tools)


def _also(own: Callable[..., Any], tools: Sequence[Any]) -> Callable[..., Any]:
    """A function that gives what ``own`` does, and ``tools``. Agno looks at its parameters."""

    @functools.wraps(own)
    async def both(**given: Any) -> list[Any]:
        made = own(**given)
        made = await made if inspect.isawaitable(made) else made
        if made is not None and not isinstance(made, Sequence):
            raise AgentError(
                f"the function {getattr(own, '__name__', own)!r} that makes an agent's tools gave "
                f"a {type(made).__name__}: it has to give a list"
            )
        return [*(made or []), *tools]

    return both
