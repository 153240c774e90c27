"""Goals whose steps are done by an agent in this process, over a log that lasts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from codin.agent.a2a import user_message
from codin.agent.base import AgentInfo, Task
from codin.agent.events import AgentEvent, TextFinal
from codin.agent.planning.plan import Plan
from codin.agent.planning.planner import Planner, PlanRequest
from codin.agent.planning.step import Step
from codin.agent.registry import AgentRegistry
from codin.agent.response import AgentResponse
from codin.bench.base import BenchError
from codin.database import Database
from codin.gateway.sending import send
from codin.security import DEFAULT_ROLES, LOCAL_USER, RoleAuthorizer, RunGrants
from codin.task import EventLog, RunServices, TaskRunner
from codin.task.goal import GoalLimits
from codin.task.log import open_log
from codin.task.manager import TaskManager

AGENT = "bench"
_SECONDS = 3600.0
_MAX_STEPS = 1_000_000
_WIDE = 10
"""Steps of a DAG that need nothing of each other."""


class Repeating:
    """An agent that says again what it is told, and with ``holding`` works without an end."""

    id = name = AGENT
    description = "says again what it is told"

    def __init__(self, *, holding: bool = False) -> None:
        self.tools: list[Any] = []
        self.info = AgentInfo(AGENT, AGENT, self.description)
        self._holding = holding

    async def handle(self, task: Task) -> AgentResponse:
        return AgentResponse(self._events(task))

    async def _events(self, task: Task) -> AsyncGenerator[AgentEvent, None]:
        if self._holding:
            await asyncio.Event().wait()
        yield TextFinal(message_id="m", text=task.text)


class Counted(Planner):
    """Plans what the goal says: ``chain N`` or ``dag N``."""

    async def plan(self, request: PlanRequest) -> Plan:
        kind, count = request.goal.split()
        numbers = range(int(count))
        needed = _before if kind == "chain" else _above
        steps = (
            Step(id=f"s{n}", agent=AGENT, instruction=f"step {n}", needs=needed(n)) for n in numbers
        )
        return Plan(goal=request.goal, steps=tuple(steps))


class House:
    """Has goals done."""

    def __init__(self, manager: TaskManager, log: EventLog) -> None:
        self.manager = manager
        self.log = log

    async def goal(self, words: str) -> str:
        """Have a goal done that nobody watches, and give its task's state."""
        task_id = await send(self.manager.handler, LOCAL_USER, user_message(words))
        await self.manager.runner.wait(task_id)
        return (await self.log.task(LOCAL_USER, task_id)).state

    async def chain(self, steps: int) -> None:
        """Have a goal of ``steps`` done, one after the other.

        Raises:
            BenchError: it was not.
        """
        await self._done(f"chain {steps}")

    async def dag(self, steps: int) -> None:
        """Have a goal of ``steps`` done that need each other in layers of ten. Raises as
        ``chain``."""
        await self._done(f"dag {steps}")

    async def begin(self) -> str:
        """Give the agent a task of its own; its id once it is in the log."""
        handler = self.manager.agent_handler(LOCAL_USER, AGENT)
        return await send(handler, LOCAL_USER, user_message("again"))

    async def _done(self, words: str) -> None:
        state = await self.goal(words)
        if state != "TASK_STATE_COMPLETED":
            raise BenchError(f"the goal {words!r} was not done: {state}")


@asynccontextmanager
async def house(database: Database, *, holding: bool = False) -> AsyncIterator[House]:
    """One over ``database``, until the block ends; its agent may be ``holding``."""
    log = await open_log(database)
    authorizer = RoleAuthorizer(DEFAULT_ROLES)
    manager = TaskManager(
        TaskRunner(log),
        AgentRegistry(authorizer, [Repeating(holding=holding)]),
        Counted(),
        RunServices(RunGrants(), seconds=_SECONDS),
        limits=GoalLimits(seconds=_SECONDS, max_steps=_MAX_STEPS),
    )
    try:
        yield House(manager, log)
    finally:
        await manager.aclose()
        await log.close()


def _before(number: int) -> tuple[str, ...]:
    return (f"s{number - 1}",) if number else ()


def _above(number: int) -> tuple[str, ...]:
    """Two of the layer above, and never a step alone."""
    row, place = divmod(number, _WIDE)
    if not row:
        return ()
    first = (row - 1) * _WIDE
    return f"s{first + place}", f"s{first + (place + 1) % _WIDE}"
