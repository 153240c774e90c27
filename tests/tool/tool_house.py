"""What the tests of the executor talk to."""

import time
from dataclasses import dataclass, field
from typing import Any

from codin.security import LOCAL_USER, Principal, RunGrant
from codin.tool import (
    CallFinished,
    CallRecorder,
    CallStarted,
    GoalSandboxes,
    ToolExecutor,
    ToolOutcome,
    ToolRegistry,
    Workspaces,
)
from codin.tool.events import ToolOutput


class ListRecorder(CallRecorder):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.began: list[CallStarted] = []
        self.ended: list[CallFinished] = []

    async def started(self, grant: RunGrant, call: CallStarted) -> None:
        self.began.append(call)

    async def finished(self, grant: RunGrant, call: CallFinished) -> None:
        self.ended.append(call)


@dataclass
class House:
    """What a test talks to."""

    executor: ToolExecutor
    registry: ToolRegistry
    sandboxes: GoalSandboxes
    workspaces: Workspaces
    recorder: ListRecorder
    live: list[ToolOutput] = field(default_factory=list)
    expires_at: float = field(default_factory=lambda: time.time() + 600)

    def grant(
        self,
        *,
        task: str = "task-1",
        goal: str = "goal-1",
        principal: Principal = LOCAL_USER,
        tools: frozenset[str] | None = None,
    ) -> RunGrant:
        every = frozenset(tool.spec.name for tool in self.registry.list(LOCAL_USER))
        return RunGrant(
            task_id=task,
            goal_id=goal,
            context_id="context-1",
            agent_id="agent-1",
            principal=principal,
            tools=every if tools is None else tools,
            expires_at=self.expires_at,
        )

    async def call(self, name: str, /, **arguments: Any) -> ToolOutcome:
        return await self.executor.call(self.grant(), name, arguments)

    async def python(self, code: str, **grant: Any) -> ToolOutcome:
        return await self.executor.call(self.grant(**grant), "run_python", {"code": code})
