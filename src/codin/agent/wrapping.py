"""``wrap``: whatever people have, as an agent of the platform.

The module is not named after the function: it would hide it as ``codin.agent.wrap``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from codin.agent.adapters.base import Adapter, is_factory
from codin.agent.base import Agent, AgentError, AgentInfo
from codin.agent.frameworks import (
    FRAMEWORKS,
    UnsupportedAgent,
    framework_of,
    known_framework,
    origin,
)
from codin.tool.base import Tool

AGENT_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""What an agent's id looks like: it stands in URLs, permissions and plans."""


SAYS_NOTHING = frozenset(
    {
        "",
        "agent",
        "root_agent",
        "app",
        "graph",
        "main",
        "build",
        "make",
        "factory",
        "create",
        "crew",
    }
)
"""Names that tell nothing of an agent: where it was found tells more."""


_MADE_UP = {
    "langgraph": "LangGraph",
    "strands": "Strands Agents",
    "agent-framework": "WorkflowBuilder-.*|Sequential|Concurrent|Handoff|GroupChat|Magentic",
}
"""Names that frameworks give to what has none."""

MAX_SKILLS = 50
"""How many of an agent's tools and parts are told as its skills."""

SUPPORTED = (
    f"an async function, an agent of {', '.join(f.title for f in FRAMEWORKS.values())}, a function "
    "that builds one of these (with framework=...), the http(s) URL of an A2A agent, or an object "
    "with id, name, description, tools and handle(task)"
)


def wrap(
    obj: Any,
    *,
    id: str | None = None,  # noqa: A002 - it is what it is called everywhere
    name: str | None = None,
    description: str | None = None,
    tools: Sequence[str | Tool] = (),
    framework: str | None = None,
) -> Agent:
    """``obj`` as an agent.

    ``tools`` are names of the registry's tools, which each run is given as far as its principal
    may use them, or tools that the agent brings along. ``framework`` says what a function builds
    ("langgraph", "adk", ...: the names of ``codin.agent.frameworks``); it is called for each run
    with ``()``, ``(tools)`` or ``(tools, model)``. What already is an agent is returned as it is.

    Raises:
        UnsupportedAgent: nothing here knows what it is.
        FrameworkMissing: the framework is not installed.
        AgentError: the id is malformed, or the agent cannot be had like this.
    """
    if framework is None and is_agent(obj):
        return obj  # type: ignore[no-any-return]
    kind = _kind(obj, framework)
    own = _own_name(obj, kind)
    plain = slug(own)
    agent_id = id or plain or kind
    _check_id(agent_id, obj)
    named = [tool if isinstance(tool, str) else tool.name for tool in tools]
    adapter = _adapter(kind)
    traits = adapter.traits(obj)
    if description is None:
        description = _own_description(obj) or traits.description
    info = AgentInfo(
        id=agent_id,
        name=name or (own if plain not in SAYS_NOTHING else "") or agent_id,
        description=description,
        framework=kind,
        version=FRAMEWORKS[kind].version if kind in FRAMEWORKS else "",
        tools=tuple(named),
        skills=traits.skills[:MAX_SKILLS],
        input_modes=adapter.input_modes,
    )
    brought = [tool for tool in tools if not isinstance(tool, str)]
    return adapter(obj, info, tools=brought, anonymous=not id and plain in SAYS_NOTHING)


def is_agent(obj: Any) -> bool:
    """Whether ``obj`` keeps the ``Agent`` contract already."""
    return (
        not isinstance(obj, type)
        and isinstance(obj, Agent)
        and inspect.iscoroutinefunction(obj.handle)
    )


def slug(text: str) -> str:
    """``text`` as an agent id; empty when nothing of it can be used."""
    plain = re.sub(r"[^a-z0-9_]+", "-", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", text).lower())
    return plain.strip("-_")[:64].rstrip("-_")


def parts_of(obj: Any) -> Sequence[Any]:
    """What ``obj`` was made from, and what is no agent of its own therefore."""
    if isinstance(obj, Adapter):
        return [obj.subject, *parts_of(obj.subject)]
    kind = framework_of(obj)
    return [] if kind is None else [p for p in _adapter(kind).traits(obj).parts if p is not obj]


def info_of(agent: Agent) -> AgentInfo:
    """What is known of ``agent``; one that has no ``info`` of its own is described from outside."""
    info = getattr(agent, "info", None)
    if isinstance(info, AgentInfo):
        return info
    names = tuple(tool.name for tool in agent.tools)
    return AgentInfo(agent.id, agent.name, agent.description, framework="codin", tools=names)


def _kind(obj: Any, framework: str | None) -> str:
    if isinstance(obj, str):
        return _remote(obj)
    if framework == "function":
        return framework
    if framework is not None:
        return known_framework(framework).name
    if found := framework_of(obj):
        return found
    if _is_async_function(obj):
        return "function"
    raise UnsupportedAgent(_cannot(obj))


def _remote(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UnsupportedAgent(f"{url[:200]!r} is no http(s) URL of an A2A agent")
    return "remote"


def _cannot(obj: Any) -> str:
    what = f"a {type(obj).__module__}.{type(obj).__qualname__}"
    if isinstance(obj, type):
        what = f"the class {obj.__qualname__} (give an instance of it)"
    elif is_factory(obj):
        what = f"the function {getattr(obj, '__name__', obj)!r}, which is not async"
    else:
        what += origin(obj)
    return f"cannot make an agent of {what}; what can be wrapped: {SUPPORTED}"


def _is_async_function(obj: Any) -> bool:
    call = obj if inspect.isroutine(obj) else getattr(obj, "func", obj)
    return inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)


def _adapter(kind: str) -> type[Adapter]:
    where = {
        "function": "function:FunctionAgent",
        "remote": "remote.agent:RemoteAgent",
        **{f.name: f.adapter for f in FRAMEWORKS.values()},
    }[kind]
    module, _, attribute = where.partition(":")
    adapter: type[Adapter] = getattr(import_module(f"codin.agent.adapters.{module}"), attribute)
    return adapter


def _own_name(obj: Any, kind: str) -> str:
    if kind == "remote":
        parts = urlsplit(obj)
        return parts.path.rstrip("/").rpartition("/")[2] or parts.hostname or ""
    own = getattr(obj, "name", None) or getattr(obj, "__name__", None) or ""
    if not isinstance(own, str) or re.fullmatch(_MADE_UP.get(kind, ""), own):
        return ""
    return "" if own == "<lambda>" else own


def _own_description(obj: Any) -> str:
    for attribute in ("description", "handoff_description", "role"):
        text = getattr(obj, attribute, None)
        if isinstance(text, str) and text.strip():
            return text.strip()
    if is_factory(obj) and obj.__doc__:
        return inspect.cleandoc(obj.__doc__).partition("\n\n")[0].replace("\n", " ")
    return ""


def _check_id(agent_id: str, obj: Any) -> None:
    if not AGENT_ID.fullmatch(agent_id):
        raise AgentError(
            f"{agent_id[:100]!r} cannot be the id of {type(obj).__name__}: "
            "an id has lower-case letters, digits, - and _, and at most 64 of them"
        )
