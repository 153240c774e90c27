"""Plans of goals that are not begun: to be looked at, changed, and brought along."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codin.agent.a2a import EventDecoder, user_message
from codin.agent.events import Completed
from codin.agent.planning.plan import Plan
from codin.agent.planning.planner import PlanningFailed, PlanRequest
from codin.security import Principal
from codin.task.dispatch import Attempt
from codin.task.step_run import reason_of
from codin.task.transport import in_memory_client

if TYPE_CHECKING:
    from codin.task.goal import GoalParts


async def draft(parts: GoalParts, principal: Principal, goal: str) -> Plan:
    """The plan by which ``goal`` would be done, checked. Nothing of it is done; an agent that plans
    is given a task of its own.

    Raises:
        PlanError: it cannot be run; with every problem.
        PlanningFailed, ModelError: as the planner.
    """
    agents = tuple(parts.agents(principal))

    async def ask(agent_id: str, request: str) -> str:
        return await _asked(parts, principal, agent_id, request)

    plan = await parts.planner.plan(
        PlanRequest(
            goal=goal,
            agents=agents,
            principal=principal,
            files=await parts.files.inputs(),
            ask=ask,
            max_steps=parts.limits.max_steps,
        )
    )
    plan.check(agents, max_steps=parts.limits.max_steps)
    return plan


async def _asked(parts: GoalParts, principal: Principal, agent_id: str, request: str) -> str:
    from a2a.types import SendMessageRequest

    client = in_memory_client(parts.handlers(principal, agent_id), principal)
    attempt, decoder = Attempt(), EventDecoder()
    async for response in client.send_message(SendMessageRequest(message=user_message(request))):
        for event in decoder.decode(response):
            attempt.apply(event)
    if not isinstance(attempt.end, Completed):
        raise PlanningFailed(f"{agent_id} did not plan: {reason_of(attempt.end)}")
    return attempt.text
