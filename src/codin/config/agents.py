"""The settings of agents, and of what has them work together."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from codin.config.section import AgentId, Section
from codin.security.targets import AllowList

_FOR_HOSTS = {
    "network": "is for agents in a host: nothing keeps this one to it",
    "requirements": "are for agents in a host: this one has no own packages",
    "python": "is for agents in a host: this one has no own packages",
    "image": "is for agents in a host: this one has no own packages",
    "memory_mb": "is for agents in a host: nothing keeps this one to it",
    "cpus": "are for agents in a host: nothing keeps this one to them",
    "processes": "are for agents in a host: nothing keeps this one to it",
}


class AgentEntry(Section):
    """One agent: where it comes from, and what is said of it instead of what it says itself.

    ``source`` is a file, a folder, ``module:attr`` or the URL of a remote A2A agent. A remote one
    that asks who calls is shown a token in the name of whoever the task is for, made for
    ``audience`` alone, or the key in the environment variable ``bearer_env``. ``network`` are the
    ``host:port`` that an agent in a host may connect to; without it, it connects to nothing.
    ``requirements`` are the packages that it has, such as ``crewai>=1.15.30``, instead of those
    that codin runs with; ``python`` is the interpreter that has them, or ``image`` a container
    image. ``memory_mb``, ``processes`` and ``cpus`` are what its host may use.
    ``tools`` may have other agents among them (``agent:ID``), and ``hands_off_to`` are the ids of
    those that it may hand its task to.
    """

    source: str
    id: str | None = None
    name: str | None = None
    description: str | None = None
    tools: tuple[str, ...] | None = None
    isolation: Literal["host", "process"] = "host"
    network: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    hands_off_to: tuple[str, ...] = ()
    python: str | None = None
    image: str | None = None
    memory_mb: int | None = Field(default=None, ge=64)
    processes: int | None = Field(default=None, ge=8)
    cpus: float | None = Field(default=None, gt=0)
    audience: str | None = None
    bearer_env: str | None = None

    @field_validator("network")
    @classmethod
    def _a_network(cls, network: tuple[str, ...]) -> tuple[str, ...]:
        return AllowList(network).entries

    @model_validator(mode="after")
    def _hosted(self) -> AgentEntry:
        remote = self.source.startswith(("http://", "https://"))
        hosted = not remote and self.isolation == "host"
        for name, why in _FOR_HOSTS.items():
            if getattr(self, name) and not hosted:
                raise ValueError(f"{name} {why}")
        if len([1 for named in (self.requirements, self.python, self.image) if named]) > 1:
            raise ValueError("an agent has one environment: requirements, a python, or an image")
        return self


class RouterSettings(Section):
    """A router: an agent that gives each message to the one of ``agents`` that fits it. With
    ``model = false`` it goes by their descriptions alone."""

    id: AgentId
    agents: tuple[AgentId, ...] = Field(min_length=1)
    name: str | None = None
    description: str | None = None
    model: bool = True


class SupervisorSettings(Section):
    """A supervisor: an agent that has a task done by ``agents``, in at most so many ``rounds`` of
    at most so many calls ``at_once``. ``instructions`` are added to what its model is told."""

    id: AgentId
    agents: tuple[AgentId, ...] = Field(min_length=1)
    name: str | None = None
    description: str | None = None
    instructions: str = ""
    rounds: int = Field(default=6, ge=1, le=50)
    at_once: int = Field(default=6, ge=1, le=50)


class CallSettings(Section):
    """How far agents may call each other: ``depth`` calls below each other, and so many ``tasks``
    in all below one task of a user."""

    depth: int = Field(default=5, ge=1, le=20)
    tasks: int = Field(default=50, ge=1, le=10_000)
