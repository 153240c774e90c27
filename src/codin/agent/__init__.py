"""Agents: the contract, one adapter a framework, and how they are put to work together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.agent.base import Agent, AgentError, AgentInfo, MemoryAccess, ModelAccess, Task
from codin.agent.response import AgentResponse, Outcome
from codin.lazy import lazy_names

if TYPE_CHECKING:
    from codin.agent.wrapping import wrap

_HOMES = {"wrapping": ("wrap",)}
__all__ = [
    "Agent",
    "AgentError",
    "AgentInfo",
    "AgentResponse",
    "MemoryAccess",
    "ModelAccess",
    "Outcome",
    "Task",
    "wrap",
]

__getattr__ = lazy_names(__name__, _HOMES)
