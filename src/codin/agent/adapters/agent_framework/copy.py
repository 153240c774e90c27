"""Copies of agents and workflows of Microsoft Agent Framework, one for each run.

An agent is given what bounds the run and what keeps its session; a workflow keeps what its
executors know, and takes one run at a time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from codin.agent.base import AgentError, ModelAccess

_DEEP = 3
_LINKED = "agent_framework_orchestrations"
"""Whose middleware the executors of a workflow look into: it is copied with them."""


@dataclass(frozen=True, slots=True)
class Given:
    """What each agent of a run is given: what bounds the run, and where its models are."""

    middleware: Any
    model: ModelAccess | None


def workflow_of(subject: Any) -> Any:
    """The workflow that ``subject`` is, or that it is the agent of; None for another agent."""
    workflow = getattr(subject, "workflow", subject)
    return workflow if hasattr(workflow, "get_executors_list") else None


def agents_of(workflow: Any) -> list[Any]:
    """The agents that a workflow works with, each once."""
    found = {id(agent): agent for _, _, agent in _places(workflow)}
    return list(found.values())


def equipped(agent: Any, given: Given) -> Any:
    """The agent with what is ``given`` to it. What it works with is shared."""
    return _equipped(agent, lambda own: own, given)


def copied_workflow(workflow: Any, given: Given) -> Any:
    """A copy of the workflow, of which every agent has what is ``given``.

    Raises:
        AgentError: something in it cannot be copied.
    """
    memo: dict[int, Any] = {}
    try:
        for agent in agents_of(workflow):
            memo[id(agent)] = _equipped(agent, lambda own: _linked(own, memo), given)
        return copy.deepcopy(workflow, memo)
    except Exception as error:
        raise AgentError(
            f"the workflow cannot be copied for a run ({error}): wrap a function that takes the "
            "tools and builds it instead (framework='agent-framework')"
        ) from error


def new_workflow(workflow: Any, given: Given) -> Any:
    """The workflow, which nobody else has, of which every agent has what is ``given``."""
    for holder, name, agent in list(_places(workflow)):
        setattr(holder, name, equipped(agent, given))
    return workflow


def _equipped(agent: Any, own: Callable[[Any], Any], given: Given) -> Any:
    made = copy.copy(agent)
    if hasattr(agent, "middleware"):
        made.middleware = [*map(own, agent.middleware or ()), given.middleware]
    if hasattr(agent, "client"):
        made.client = _speaking_chat(agent.client, given.model)
    # A run with a session adds what keeps the session's messages.
    made.context_providers = [*map(own, agent.context_providers)]
    return made


def _speaking_chat(client: Any, model: ModelAccess | None) -> Any:
    """The client; one that would ask the platform by the Responses API, by the chat API, by which
    the platform gives models."""
    kinds = {cls.__name__ for cls in type(client).__mro__}
    asks = str(getattr(getattr(client, "client", None), "base_url", "")).rstrip("/")
    if "RawOpenAIChatClient" not in kinds or model is None or asks != model.base_url.rstrip("/"):
        return client
    from agent_framework.openai import OpenAIChatCompletionClient

    return OpenAIChatCompletionClient(
        model=client.model,
        async_client=client.client,
        instruction_role=client.instruction_role,
        middleware=[*client.chat_middleware, *client.function_middleware],
        function_invocation_configuration=client.function_invocation_configuration,
    )


def _linked(thing: Any, memo: dict[int, Any]) -> Any:
    linked = type(thing).__module__.startswith(_LINKED)
    return copy.deepcopy(thing, memo) if linked else thing


def _places(workflow: Any) -> Iterator[tuple[Any, str, Any]]:
    """The agents that its executors work with: who has them, under which name, and they."""
    for executor in workflow.get_executors_list():
        yield from _agents_in(executor, _DEEP)


def _agents_in(thing: Any, depth: int) -> Iterator[tuple[Any, str, Any]]:
    own = type(thing).__module__.startswith("agent_framework") or depth == _DEEP
    if own and depth and hasattr(thing, "__dict__"):
        for name, value in vars(thing).items():
            if (workflow := workflow_of(value)) is not None:
                yield from _places(workflow)
            elif hasattr(value, "create_session") and hasattr(value, "context_providers"):
                yield thing, name, value
            else:
                yield from _agents_in(value, depth - 1)
