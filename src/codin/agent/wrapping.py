"""``wrap``: whatever people have, as an agent of the platform.

The module is not named after the function: it would hide it as ``codin.agent.wrap``.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from codin.agent.adapters.base import Adapter, is_factory
from codin.agent.base import Agent, AgentError, AgentInfo
from codin.tool.base import Tool

AGENT_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""What an agent's id looks like: it stands in URLs, permissions and plans."""


SAYS_NOTHING = frozenset(
    {"", "agent", "root_agent", "app", "graph", "main", "build", "make", "factory", "create"}
)
"""Names that tell nothing of an agent: where it was found tells more."""


class UnsupportedAgent(AgentError):
    """The object is nothing that can be wrapped."""


class FrameworkMissing(AgentError):
    """The agent's framework is not installed here."""


@dataclass(frozen=True, slots=True)
class _Framework:
    name: str
    adapter: str
    package: str
    classes: tuple[str, ...]
    """Full names of the classes that it is known by; a subclass of one is known too."""
    apart: str = ""
    """What an environment of its own has to hold, where it cannot be installed beside codin's."""


_FRAMEWORKS = {
    f.name: f
    for f in (
        _Framework(
            "langgraph",
            "langgraph:LangGraphAgent",
            "langgraph",
            ("langgraph.pregel.main.Pregel", "langgraph.graph.state.StateGraph"),
        ),
        _Framework(
            "adk", "adk:AdkAgent", "google.adk", ("google.adk.agents.base_agent.BaseAgent",)
        ),
        _Framework("agno", "agno:AgnoAgent", "agno", ("agno.agent.agent.Agent",)),
        _Framework(
            "crewai",
            "crewai:CrewAiAgent",
            "crewai",
            ("crewai.agent.core.Agent", "crewai.crew.Crew", "crewai.flow.flow.Flow"),
            apart="crewai>=1.15.30",
        ),
    )
}

_LATER = {
    "pydantic_ai": "Pydantic AI",
    "agents": "the OpenAI Agents SDK",
    "agent_framework": "Microsoft Agent Framework",
    "strands": "Strands",
    "smolagents": "smolagents",
    "llama_index": "LlamaIndex",
    "autogen_agentchat": "AutoGen",
    "agno": "Agno, and no Agent of it (wrap the members of a team one by one)",
    "google": "Google ADK, and no agent of it such as LlmAgent",
}

SUPPORTED = (
    "an async function, a LangGraph graph, an ADK agent, an Agno Agent, an Agent, Crew or Flow of "
    "CrewAI, a function that builds one of these (with framework=...), the http(s) URL of an A2A "
    "agent, or an object with id, name, description, tools and handle(task)"
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
    may use them, or tools that the agent brings along. ``framework`` says what a function builds:
    "langgraph", "adk", "agno" or "crewai"; it is called for each run with ``()``, ``(tools)`` or
    ``(tools, model)``. What already is an agent is returned as it is.

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
    info = AgentInfo(
        id=agent_id,
        name=name or own or agent_id,
        description=description if description is not None else _own_description(obj),
        framework=kind,
        tools=tuple(named),
    )
    brought = [tool for tool in tools if not isinstance(tool, str)]
    return _adapter(kind)(obj, info, tools=brought, anonymous=not id and plain in SAYS_NOTHING)


def is_agent(obj: Any) -> bool:
    """Whether ``obj`` keeps the ``Agent`` contract already."""
    return (
        not isinstance(obj, type)
        and isinstance(obj, Agent)
        and inspect.iscoroutinefunction(obj.handle)
    )


def framework_of(obj: Any) -> str | None:
    """The framework that ``obj`` comes from, told by the names of its classes, or None.

    No framework is imported for it: if it is one's object, the framework is loaded already.
    """
    names = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(obj).__mro__}
    for framework in _FRAMEWORKS.values():
        if names.intersection(framework.classes):
            return framework.name
    return None


def slug(text: str) -> str:
    """``text`` as an agent id; empty when nothing of it can be used."""
    plain = re.sub(r"[^a-z0-9_]+", "-", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", text).lower())
    return plain.strip("-_")[:64].rstrip("-_")


def info_of(agent: Agent) -> AgentInfo:
    """What is known of ``agent``; one that has no ``info`` of its own is described from outside."""
    info = getattr(agent, "info", None)
    if isinstance(info, AgentInfo):
        return info
    names = tuple(tool.name for tool in agent.tools)
    return AgentInfo(agent.id, agent.name, agent.description, framework="codin", tools=names)


def check_framework(name: str) -> None:
    """Return when the framework ``name`` is known and installed.

    Raises:
        UnsupportedAgent: it is not known.
        FrameworkMissing: it is not installed; the message has the command that installs it.
    """
    if name == "function":
        return
    framework = _FRAMEWORKS.get(name)
    if framework is None:
        known = ", ".join(["function", *_FRAMEWORKS])
        raise UnsupportedAgent(f"framework {name!r} is not known; there are: {known}")
    if not _installed(framework.package):
        raise FrameworkMissing(_missing(framework.package, framework))


def how_to_get(module: str) -> str | None:
    """What to do about a ``module`` that is not installed, where it is a framework's."""
    top = module.split(".", maxsplit=1)[0]
    top = "langgraph" if top in {"langchain", "langchain_openai"} else top
    for framework in _FRAMEWORKS.values():
        inside = module.startswith(framework.package + ".")
        if inside or module == framework.package or top == framework.package.split(".")[0]:
            return _missing(module, framework)
    return None


def _missing(module: str, framework: _Framework) -> str:
    if framework.apart:
        return (
            f"{module} is not installed in {sys.prefix}, and cannot be beside the platform: give "
            f'the agent an environment of its own, requirements = ["{framework.apart}"] under its '
            "[[agents]] in codin.toml"
        )
    return f"{module} is not installed in {sys.prefix}: pip install 'codin[{framework.name}]'"


def _kind(obj: Any, framework: str | None) -> str:
    if isinstance(obj, str):
        return _remote(obj)
    if framework is not None:
        check_framework(framework)
        return framework
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
    elif other := _LATER.get(type(obj).__module__.split(".")[0]):
        what += f", which is of {other}"
    return f"cannot make an agent of {what}; what can be wrapped: {SUPPORTED}"


def _is_async_function(obj: Any) -> bool:
    call = obj if inspect.isroutine(obj) else getattr(obj, "func", obj)
    return inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)


def _adapter(kind: str) -> type[Adapter]:
    where = {
        "function": "function:FunctionAgent",
        "remote": "remote:RemoteAgent",
        **{f.name: f.adapter for f in _FRAMEWORKS.values()},
    }[kind]
    module, _, attribute = where.partition(":")
    adapter: type[Adapter] = getattr(import_module(f"codin.agent.adapters.{module}"), attribute)
    return adapter


def _own_name(obj: Any, kind: str) -> str:
    if kind == "remote":
        parts = urlsplit(obj)
        return parts.path.rstrip("/").rpartition("/")[2] or parts.hostname or ""
    own = getattr(obj, "name", None) or getattr(obj, "__name__", None) or ""
    return "" if own in {"LangGraph", "<lambda>"} or not isinstance(own, str) else own


def _own_description(obj: Any) -> str:
    for attribute in ("description", "role"):
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


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False
