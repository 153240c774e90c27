"""What the goals of the proof are done with: a planner, an agent, and a tool to be counted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

from codin.agent.base import Agent, Task
from codin.agent.events import AgentEvent, TextFinal
from codin.agent.planning.plan import Plan, Step
from codin.agent.planning.planner import Planner, PlanRequest
from codin.agent.registry import AgentRegistry
from codin.runtime import Runtime
from codin.sandbox import SandboxProvider
from codin.security import DEFAULT_ROLES, RoleAuthorizer, RunGrants
from codin.task import EventLog, RunServices, TaskRunner
from codin.task.calls import LogCallRecorder, TaskApprover
from codin.task.manager import TaskManager
from codin.task.scheduler import RunLimits
from codin.testing.chaos.ledger import EffectLedger
from codin.testing.tasks import SmallAgent
from codin.tool.base import ToolSpec
from codin.tool.execution.executor import ToolExecutor
from codin.tool.invocation import Invocation, RunnableTool
from codin.tool.registry import ToolRegistry
from codin.tool.session import GoalSandboxes
from codin.tool.workspace import Workspaces

LEASE_SECONDS = 3.0
PULSE_SECONDS = 0.3
ORDER = "order"
CALLS = 2
"""Effects of each step."""

_NEEDS: dict[str, tuple[str, ...]] = {
    "one": (),
    "two": ("one",),
    "three": ("one",),
    "four": ("two", "three"),
    "five": ("four",),
}
STEPS = len(_NEEDS)
_WORK_SECONDS = (0.0, 0.4)


class FiveSteps(Planner):
    """Plans every goal as five steps, two of which may go at once."""

    async def plan(self, request: PlanRequest) -> Plan:
        steps = tuple(
            Step(id=name, agent="clerk", instruction=f"do {name}", needs=needs)
            for name, needs in _NEEDS.items()
        )
        return Plan(goal=request.goal, steps=steps)


class Order(RunnableTool):
    """A tool whose effect can be counted."""

    def __init__(self, ledger: EffectLedger) -> None:
        self.name = ORDER
        self.spec = ToolSpec(
            name=ORDER,
            description="Orders something.",
            input_schema={"type": "object", "properties": {"what": {"type": "string"}}},
            effects="repeatable",
            trusted=True,
        )
        self._ledger = ledger

    async def run(self, call: Invocation) -> Any:
        """Order it, which takes a while before and after the effect."""
        await asyncio.sleep(random.uniform(*_WORK_SECONDS))
        self._ledger.add(call.idempotency_key)
        await asyncio.sleep(random.uniform(*_WORK_SECONDS))
        return f"ordered {call.arguments['what']}"


async def _clerk(task: Task) -> AsyncGenerator[AgentEvent, None]:
    [order] = task.tools
    said = [str(await order.invoke(what=f"{task.id}/{number}")) for number in range(CALLS)]
    yield TextFinal(message_id="m", text=", ".join(said))


def agents() -> list[Agent]:
    """Those that do the steps."""
    return [SmallAgent(_clerk, "clerk", "Clerk", "Orders things.", asked=(ORDER,))]


def manager_over(log: EventLog, folder: Path, *, runs: int) -> TaskManager:
    """A platform without a face over ``log``, with room for so many ``runs``."""
    authorizer = RoleAuthorizer(DEFAULT_ROLES)
    runner = TaskRunner(
        log,
        lease_seconds=LEASE_SECONDS,
        pulse_seconds=PULSE_SECONDS,
        limits=RunLimits(runs=runs),
    )
    executor = ToolExecutor(
        ToolRegistry(authorizer, [Order(EffectLedger(folder))]),
        runtime=cast("Runtime", None),  # nothing here goes into a sandbox
        sandboxes=GoalSandboxes(cast("SandboxProvider", None), Workspaces(folder / "work")),
        recorder=LogCallRecorder(runner),
        approver=TaskApprover(runner),
    )
    services = RunServices(RunGrants(), tools_for=executor.bind)
    return TaskManager(runner, AgentRegistry(authorizer, agents()), FiveSteps(), services)
