"""Copies of Strands' agents and teams: each of its objects keeps the conversation that it has, and
takes one at a time, so that every run needs its own."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from codin.agent.base import AgentError

_SHARED = ("model", "_aux_model", "_model_router", "tracer", "_sandbox", "_storage")
_HANDS_OVER = "handoff_to_agent"
_LIMITS = ("max_node_executions", "execution_timeout", "node_timeout")


@dataclass(frozen=True, slots=True)
class Equipment:
    """What each agent of a run is given: tools, the conversation, and what is called before and
    after its model is."""

    tools: Sequence[Any]
    messages: Sequence[Any]
    before_model: Callable[[Any], None]
    after_model: Callable[[Any], None]


def twin(subject: Any, given: Equipment) -> Any:
    """A copy of an agent, a swarm or a graph, of which every agent is ``given`` what there is.

    Models, storage and the agents' own tools are those of the original; what an agent remembers,
    and what listens to it, is the copy's.

    Raises:
        AgentError: it keeps its conversation by itself, or holds something that cannot be copied.
    """
    _check_session(subject)
    kinds = {cls.__name__ for cls in type(subject).__mro__}
    if "Swarm" in kinds:
        return _swarm(subject, given)
    if "Graph" in kinds:
        return _graph(subject, given)
    if hasattr(subject, "tool_registry"):
        return _agent(subject, given)
    raise AgentError(
        f"a {type(subject).__name__} is nothing of Strands that can be copied for a run: there are "
        "Agent, Swarm and Graph"
    )


def equipped(subject: Any, given: Equipment) -> Any:
    """An agent, a swarm or a graph that nobody else has, and of which every agent is ``given`` what
    there is.

    Raises:
        AgentError: it keeps its conversation by itself.
    """
    _check_session(subject)
    if not hasattr(subject, "nodes"):
        return _equipped(subject, given)
    for node in subject.nodes.values():
        equipped(node.executor, given)
        node.__post_init__()  # what its agent knows now is what it begins with
    return subject


def _equipped(agent: Any, given: Equipment) -> Any:
    for inner in [agent, *inner_agents(agent)]:
        _listen(inner, given)
    agent.messages = [*agent.messages, *copy.deepcopy(list(given.messages))]
    agent.tool_registry.process_tools(list(given.tools))
    return agent


def _listen(agent: Any, given: Equipment) -> None:
    from strands.handlers.callback_handler import null_callback_handler
    from strands.hooks import AfterModelCallEvent, BeforeModelCallEvent, HookOrder

    agent.callback_handler = null_callback_handler
    agent.add_hook(given.before_model, BeforeModelCallEvent)
    # Before what waits and asks again.
    agent.add_hook(given.after_model, AfterModelCallEvent, order=HookOrder.SDK_FIRST)


def inner_agents(agent: Any) -> Iterator[Any]:
    """The agents that are tools of this one, and theirs."""
    for tool in agent.tool_registry.registry.values():
        if hasattr(tool, "agent"):
            yield tool.agent
            yield from inner_agents(tool.agent)


def _agent(agent: Any, given: Equipment) -> Any:
    return _equipped(_Copies().of(agent), given)


def _swarm(swarm: Any, given: Equipment) -> Any:
    agents = {name: twin(node.executor, given) for name, node in swarm.nodes.items()}
    for agent in agents.values():
        # What passes on to an agent of the original; the copy gets one of its own.
        agent.tool_registry.registry.pop(_HANDS_OVER, None)
    first = [name for name, node in swarm.nodes.items() if node.executor is swarm.entry_point]
    made = type(swarm)(
        list(agents.values()),
        entry_point=agents[first[0]] if first else None,
        max_handoffs=swarm.max_handoffs,
        max_iterations=swarm.max_iterations,
        execution_timeout=swarm.execution_timeout,
        node_timeout=swarm.node_timeout,
        repetitive_handoff_detection_window=swarm.repetitive_handoff_detection_window,
        repetitive_handoff_min_unique_agents=swarm.repetitive_handoff_min_unique_agents,
        id=swarm.id,
    )
    made.hooks = swarm.hooks
    return made


def _graph(graph: Any, given: Equipment) -> Any:
    from strands.multiagent import GraphBuilder

    builder = GraphBuilder()
    for name, node in graph.nodes.items():
        builder.add_node(twin(node.executor, given), name)
    for edge in graph.edges:
        builder.add_edge(edge.from_node.node_id, edge.to_node.node_id, edge.condition)
    for node in graph.entry_points:
        builder.set_entry_point(node.node_id)
    builder.reset_on_revisit(graph.reset_on_revisit).set_graph_id(graph.id)
    # One without a limit is warned of when it is built, which the original was already.
    made = builder.set_max_node_executions(1).build()
    for name in _LIMITS:
        setattr(made, name, getattr(graph, name))
    made.hooks = graph.hooks
    return made


def _check_session(subject: Any) -> None:
    for name in ("session_manager", "_session_manager"):
        if manager := getattr(subject, name, None):
            raise AgentError(
                f"{getattr(subject, 'name', None) or subject.id!r} keeps its conversation in a "
                f"{type(manager).__name__}, which all who talk to it would share: leave the "
                "session manager out; each run is handed the conversation that it belongs to"
            )


class _Copies:
    """Copies agents attribute by attribute, each thing once; locks are new ones."""

    def __init__(self) -> None:
        self._memo: dict[int, Any] = {}

    def of(self, agent: Any) -> Any:
        _check_session(agent)
        for name in _SHARED:
            self._keep(getattr(agent, name, None))
        for tool in agent.tool_registry.registry.values():
            if hasattr(tool, "agent"):
                self._rebuilt(tool)
            else:
                self._keep(tool)
        made = self._rebuilt(agent)
        made.tool_caller = type(agent.tool_caller)(made)
        return made

    def _keep(self, thing: Any) -> None:
        self._memo.setdefault(id(thing), thing)

    def _rebuilt(self, thing: Any) -> Any:
        made = object.__new__(type(thing))
        self._memo[id(thing)] = made
        for name, value in vars(thing).items():
            if name != "tool_caller":
                vars(made)[name] = self._value(name, value)
        return made

    def _value(self, name: str, value: Any) -> Any:
        if id(value) in self._memo:
            return self._memo[id(value)]
        if isinstance(value, threading.Event):
            return threading.Event()
        if isinstance(value, type(threading.Lock())):
            return threading.Lock()
        if hasattr(value, "tool_registry"):
            return self.of(value)
        if name == "_concurrency":
            return type(value)(value.mode)
        try:
            return copy.deepcopy(value, self._memo)
        except Exception as error:
            raise AgentError(
                f"{name.lstrip('_')} of the agent cannot be copied for a run ({error}): wrap a "
                "function that takes the tools and builds the agent instead (framework='strands')"
            ) from error
