"""Copies of what CrewAI runs: what one run leaves behind is no other's to find."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Sequence
from typing import Any


def agent_with(agent: Any, tools: Sequence[Any]) -> Any:
    """A copy of an agent that has ``tools`` besides its own."""
    own = agent.copy()
    own.tools = [*(own.tools or []), *tools]
    return own


def crew_with(crew: Any, tools: Sequence[Any]) -> Any:
    """A copy of a crew in which each agent has ``tools`` besides its own."""
    own = crew.copy()
    for agent in own.agents:
        agent.tools = [*(agent.tools or []), *tools]
    for task in own.tasks:
        # A task has the tools that its agent was made with, and then asks the agent for none.
        if task.tools:
            task.tools = [*task.tools, *tools]
    return own


def fresh(flow: Any) -> Any:
    """A copy of a flow in the state that it was made in. CrewAI has none: a flow that is run again
    goes on with the state of the run before."""
    from crewai.flow.flow import Flow

    own = copy.copy(flow)
    # What the framework keeps of a run; what the class itself keeps is left as it is.
    for name, private in Flow.__private_attributes__.items():
        setattr(own, name, private.get_default())
    object.__setattr__(own, "_flow_post_init_done", False)
    declared = {"flow_definition": flow._definition} if type(flow) is Flow else None  # noqa: SLF001
    own.model_post_init(declared)
    state = flow._copy_state()  # noqa: SLF001 - there is no public way
    if isinstance(state, dict):
        state["id"] = str(uuid.uuid4())
    elif hasattr(state, "id"):
        object.__setattr__(state, "id", str(uuid.uuid4()))
    own._state = state  # noqa: SLF001
    return own
