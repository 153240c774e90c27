"""A platform in one process, of small agents that may call each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from a2a.types import CancelTaskRequest, Task, TaskState

from codin.agent.base import Agent, AgentInfo
from codin.agent.planning.plan import Plan, Step
from codin.agent.planning.planner import Planner, PlanRequest
from codin.agent.registry import AgentRegistry
from codin.config import PolicySettings
from codin.gateway.coordination import AgentTools
from codin.memory import InMemoryMemory
from codin.runtime import Runtime
from codin.sandbox import SandboxProvider
from codin.security import DEFAULT_ROLES, LOCAL_USER, Principal, RoleAuthorizer, RunGrants
from codin.task import EventLog, LogEvent, RunServices, SqliteEventLog, TaskRunner, data_parts
from codin.task.calls import LogCallRecorder, TaskApprover
from codin.task.chain import CallLimits
from codin.task.conversation import MemoryConversation
from codin.task.manager import TaskManager
from codin.task.new_facts import telling
from codin.task.remembering import MemoryRemembering, RememberedCalls
from codin.testing.tasks import Events, SmallAgent, call_context, send_request
from codin.tool.execution.executor import ExecutorSettings, ToolExecutor
from codin.tool.functions.decorator import tool
from codin.tool.invocation import CallRecorder, RunnableTool
from codin.tool.policies.policy import Policies
from codin.tool.registry import ToolRegistry
from codin.tool.session import GoalSandboxes
from codin.tool.workspace import Workspaces


@tool(trusted=True)
async def stamp() -> str:
    """Stamp."""
    return "stamped"


@dataclass
class Colleague(SmallAgent):
    """A small agent that may hand off."""

    hands_off_to: tuple[str, ...] = ()

    @property
    def info(self) -> AgentInfo:
        return replace(super().info, hands_off_to=self.hands_off_to)


def colleague(agent_id: str, events: Events, **more: Any) -> Colleague:
    return Colleague(events, agent_id, agent_id.title(), f"does {agent_id}", **more)


class OneStep(Planner):
    """Gives every goal to one agent."""

    def __init__(self, agent: str) -> None:
        self.agent = agent

    async def plan(self, request: PlanRequest) -> Plan:
        step = Step(id="all", agent=self.agent, instruction=request.goal)
        return Plan(goal=request.goal, steps=(step,))


@dataclass
class House:
    """The platform; ``send`` is what a client does."""

    manager: TaskManager
    log: EventLog
    tools: ToolRegistry

    async def send(self, agent: str, text: str, *, by: Principal = LOCAL_USER, **more: Any) -> Task:
        handler = self.manager.handler
        if agent != "orchestrator":
            handler = self.manager.agent_handler(by, agent)
        task = await handler.on_message_send(send_request(text, **more), call_context(by))
        return cast("Task", task)

    async def cancel(self, agent: str, task_id: str) -> None:
        handler = self.manager.agent_handler(LOCAL_USER, agent)
        await handler.on_cancel_task(CancelTaskRequest(id=task_id), call_context())

    async def events(self, task_id: str, *, by: Principal = LOCAL_USER) -> list[LogEvent]:
        return await self.log.read(by, task_id, 0, 100_000)

    async def calls(self, task_id: str) -> list[str]:
        """Who called whom, how, and what became of it, in a task and below it."""
        found = []
        for event in await self.events(task_id):
            kind, body = event.kind, event.body
            while kind == "child":
                kind, body = body["kind"], body["body"]
            steps = data_parts(body) if kind == "status" else ()
            found += [
                f"{step['caller']} {step['how']} {step['agent']} {step['state']}"
                for step in steps
                if step.get("type") == "step" and "caller" in step
            ]
        return found

    async def children(self, task_id: str) -> dict[str, str]:
        """The tasks below a task, by agent, and the states that they are in."""
        found = {}
        for step in await self.log.steps(LOCAL_USER, task_id):
            if step.child_id is not None:
                row = await self.log.task(LOCAL_USER, step.child_id)
                found[row.agent_id] = row.state
        return found


@asynccontextmanager
async def open_house(
    home: Path,
    *agents: Agent,
    log: EventLog | None = None,
    limits: CallLimits | None = None,
    planner: Planner | None = None,
    memory: InMemoryMemory | None = None,
    remembering: MemoryRemembering | None = None,
    calls_per_goal: int = 6,
    seconds: float = 20.0,
    tools: Sequence[RunnableTool] = (),
    policies: Sequence[dict[str, Any]] = (),
) -> AsyncIterator[House]:
    authorizer = RoleAuthorizer(DEFAULT_ROLES)
    log = log or await SqliteEventLog.open(home / "codin.db")
    conversation = MemoryConversation(memory or InMemoryMemory())
    runner = TaskRunner(
        log,
        conversation=conversation,
        remembering=remembering,
        grace_seconds=0.5,
        pulse_seconds=0.1,
        lease_seconds=5.0,
    )
    registered = ToolRegistry(authorizer, [stamp, *tools])
    recorder: CallRecorder = LogCallRecorder(runner)
    if remembering is not None:
        recorder = RememberedCalls(
            recorder, remembering, lambda principal, name: registered.get(principal, name).spec
        )
    executor = ToolExecutor(
        registered,
        runtime=cast("Runtime", None),  # nothing here goes into a sandbox
        sandboxes=GoalSandboxes(cast("SandboxProvider", None), Workspaces(home / "work")),
        recorder=recorder,
        approver=TaskApprover(runner),
        policies=Policies(PolicySettings.model_validate(one) for one in policies),
        settings=ExecutorSettings(calls_per_goal=calls_per_goal),
    )
    registry = AgentRegistry(authorizer, agents)
    services = RunServices(RunGrants(), tools_for=executor.bind, seconds=seconds)
    manager = TaskManager(
        runner, registry, planner or OneStep(agents[0].id), services, calls=limits
    )
    tell = telling(runner.emit)
    agent_tools = AgentTools(registered, registry, manager.caller, seconds=seconds, tell=tell)
    assert agent_tools.problems == []
    try:
        yield House(manager, log, registered)
    finally:
        await manager.aclose()
        await log.close()


def state(task: Task) -> str:
    return TaskState.Name(task.status.state).removeprefix("TASK_STATE_")


def reason(task: Task) -> str:
    return "\n".join(part.text for part in task.status.message.parts if part.HasField("text"))


def texts(task: Task) -> Sequence[str]:
    return [p.text for artifact in task.artifacts for p in artifact.parts if p.HasField("text")]
