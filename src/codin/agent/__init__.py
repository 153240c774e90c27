"""Agents: the contract, one adapter a framework, and how they are put to work together."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from codin.agent.base import Agent, AgentError, AgentInfo, ModelAccess, Task
from codin.agent.response import AgentResponse, Outcome

if TYPE_CHECKING:
    from codin.agent.wrapping import wrap

__all__ = [
    "Agent",
    "AgentError",
    "AgentInfo",
    "AgentResponse",
    "ModelAccess",
    "Outcome",
    "Task",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name == "wrap":
        return import_module("codin.agent.wrapping").wrap
    raise AttributeError(f"module 'codin.agent' has no attribute {name!r}")
