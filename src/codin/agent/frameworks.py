"""The frameworks that agents are made with, known without importing any of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from codin.agent.base import AgentError


class UnsupportedAgent(AgentError):
    """The object is nothing that can be wrapped."""


class FrameworkMissing(AgentError):
    """The agent's framework is not installed here."""


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework: its name in settings and on pages, and how its objects are told.

    ``modules`` are the packages that belong to it, the first its own; ``classes`` the full names of
    the classes whose objects are agents, those of subclasses too. ``distribution`` is what carries
    its version. ``apart`` is what an environment of its own has to hold, where it cannot be
    installed beside the platform; otherwise there is the extra ``codin[{name}]``.
    """

    name: str
    title: str
    modules: tuple[str, ...]
    classes: tuple[str, ...]
    adapter: str
    distribution: str
    apart: tuple[str, ...] = ()

    @property
    def installed(self) -> bool:
        """Whether it can be imported here."""
        try:
            return find_spec(self.modules[0]) is not None
        except ModuleNotFoundError:
            return False

    @property
    def version(self) -> str:
        """The version that is installed here; empty when there is none."""
        try:
            return version(self.distribution)
        except PackageNotFoundError:
            return ""

    def has(self, module: str) -> bool:
        """Whether ``module`` is one of its own, or of a package in which its own is."""
        return any(
            module == own or module.startswith(own + ".") or own.startswith(module + ".")
            for own in self.modules
        )

    def missing(self, module: str) -> str:
        """What to do about ``module``, which is its own and not installed."""
        if self.apart:
            names = ", ".join(f'"{requirement}"' for requirement in self.apart)
            return (
                f"{module} is not installed in {sys.prefix}, and cannot be beside the platform: "
                f"give the agent an environment of its own, requirements = [{names}] under "
                "its [[agents]] in codin.toml"
            )
        return f"{module} is not installed in {sys.prefix}: pip install 'codin[{self.name}]'"


FRAMEWORKS = {
    framework.name: framework
    for framework in (
        Framework(
            name="langgraph",
            title="LangGraph",
            modules=("langgraph", "langchain", "langchain_openai"),
            classes=("langgraph.pregel.main.Pregel", "langgraph.graph.state.StateGraph"),
            adapter="langgraph.agent:LangGraphAgent",
            distribution="langgraph",
        ),
        Framework(
            name="adk",
            title="Google ADK",
            modules=("google.adk",),
            classes=(
                "google.adk.agents.base_agent.BaseAgent",
                "google.adk.workflow._workflow.Workflow",
                "google.adk.apps.app.App",
            ),
            adapter="adk.agent:AdkAgent",
            distribution="google-adk",
        ),
        Framework(
            name="agno",
            title="Agno",
            modules=("agno",),
            classes=(
                "agno.agent.agent.Agent",
                "agno.team.team.Team",
                "agno.workflow.workflow.Workflow",
            ),
            adapter="agno.agent:AgnoAgent",
            distribution="agno",
        ),
        Framework(
            name="crewai",
            title="CrewAI",
            modules=("crewai",),
            classes=("crewai.agent.core.Agent", "crewai.crew.Crew", "crewai.flow.flow.Flow"),
            adapter="crewai.agent:CrewAiAgent",
            distribution="crewai",
            apart=("crewai>=1.15.30",),
        ),
        Framework(
            name="pydantic-ai",
            title="Pydantic AI",
            modules=("pydantic_ai",),
            classes=("pydantic_ai.agent.abstract.AbstractAgent",),
            adapter="pydantic_ai.agent:PydanticAiAgent",
            distribution="pydantic-ai-slim",
        ),
        Framework(
            name="openai-agents",
            title="OpenAI Agents SDK",
            modules=("agents",),
            classes=("agents.agent.Agent",),
            adapter="openai_agents.agent:OpenAiAgent",
            distribution="openai-agents",
        ),
        Framework(
            name="agent-framework",
            title="Microsoft Agent Framework",
            modules=("agent_framework",),
            classes=(
                "agent_framework._agents.BaseAgent",
                "agent_framework._workflows._workflow.Workflow",
            ),
            adapter="agent_framework.agent:AgentFrameworkAgent",
            distribution="agent-framework-core",
        ),
        Framework(
            name="strands",
            title="Strands",
            modules=("strands",),
            classes=(
                "strands.agent.agent.Agent",
                "strands.multiagent.swarm.Swarm",
                "strands.multiagent.graph.Graph",
            ),
            adapter="strands.agent:StrandsAgent",
            distribution="strands-agents",
            apart=("strands-agents[openai]>=1.62",),
        ),
        Framework(
            name="llamaindex",
            title="LlamaIndex",
            modules=("llama_index",),
            classes=(
                "llama_index.core.agent.workflow.base_agent.BaseWorkflowAgent",
                "llama_index.core.agent.workflow.multi_agent_workflow.AgentWorkflow",
                "workflows.workflow.Workflow",
            ),
            adapter="llama_index.agent:LlamaIndexAgent",
            distribution="llama-index-core",
            apart=("llama-index-core>=0.14.25", "llama-index-llms-openai-like>=0.8.1"),
        ),
        Framework(
            name="autogen",
            title="AutoGen",
            modules=("autogen_agentchat", "autogen_core", "autogen_ext"),
            classes=(
                "autogen_agentchat.base._chat_agent.ChatAgent",
                "autogen_agentchat.base._team.Team",
            ),
            adapter="autogen.agent:AutoGenAgent",
            distribution="autogen-agentchat",
            apart=("autogen-agentchat>=0.7.5", "autogen-ext[openai]>=0.7.5"),
        ),
        Framework(
            name="smolagents",
            title="smolagents",
            modules=("smolagents",),
            classes=("smolagents.agents.MultiStepAgent",),
            adapter="smolagents.agent:SmolAgent",
            distribution="smolagents",
            apart=("smolagents[openai]>=1.26",),
        ),
    )
}


def framework_of(obj: Any) -> str | None:
    """The framework that ``obj`` comes from, told by the names of its classes, or None.

    No framework is imported for it: if it is one's object, the framework is loaded already.
    """
    names = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(obj).__mro__}
    for framework in FRAMEWORKS.values():
        if names.intersection(framework.classes):
            return framework.name
    return None


def known_framework(name: str) -> Framework:
    """The framework ``name``, which is installed.

    Raises:
        UnsupportedAgent: it is not known.
        FrameworkMissing: it is not installed; the message has what installs it.
    """
    framework = FRAMEWORKS.get(name)
    if framework is None:
        known = ", ".join(["function", *FRAMEWORKS])
        raise UnsupportedAgent(f"framework {name!r} is not known; there are: {known}")
    if not framework.installed:
        raise FrameworkMissing(framework.missing(framework.modules[0]))
    return framework


def how_to_get(module: str) -> str | None:
    """What to do about a ``module`` that is not installed, where it is a framework's."""
    for framework in FRAMEWORKS.values():
        if framework.has(module):
            return framework.missing(module)
    return None


def origin(obj: Any) -> str:
    """Which framework ``obj``, which is none of its agents, seems to be of, as a clause."""
    module = type(obj).__module__
    for framework in FRAMEWORKS.values():
        if module.startswith(f"{framework.modules[0]}."):
            kinds = ", ".join(name.rpartition(".")[2] for name in framework.classes)
            return f", which is of {framework.title}, and none of its agents ({kinds})"
    return ""
