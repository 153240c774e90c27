"""A real executor over real sandboxes."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from codin.runtime.local import LocalRuntime
from codin.sandbox.local import LocalSandboxProvider
from codin.security import DEFAULT_ROLES, LOCAL_USER, Principal, RoleAuthorizer, RunGrant
from codin.tool import (
    CallFinished,
    CallRecorder,
    CallStarted,
    GoalSandboxes,
    RunnableTool,
    ToolExecutor,
    ToolOutcome,
    ToolRegistry,
    Workspaces,
    builtin_tools,
)
from codin.tool.events import ToolOutput

SALES = "day,region,amount\n2025-01-01,North,10.5\n2025-01-02,South,\n2025-01-03,North,7\n"


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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[LocalSandboxProvider]:
    provider = LocalSandboxProvider()
    yield provider
    await provider.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runtime(provider: LocalSandboxProvider) -> AsyncIterator[LocalRuntime]:
    runtime = LocalRuntime(provider)
    yield runtime
    await runtime.close()


@pytest.fixture
def tools() -> list[RunnableTool]:
    import sample_tools

    from codin.tool import FunctionTool

    own = [value for value in vars(sample_tools).values() if isinstance(value, FunctionTool)]
    return [*own, *builtin_tools()]


@pytest_asyncio.fixture(loop_scope="module")
async def house(
    provider: LocalSandboxProvider,
    runtime: LocalRuntime,
    tools: list[RunnableTool],
    tmp_path: Path,
) -> AsyncIterator[House]:
    data = tmp_path / "data"
    data.mkdir()
    (data / "sales.csv").write_text(SALES)
    workspaces = Workspaces(tmp_path / "workspaces", data=[data])
    sandboxes = GoalSandboxes(provider, workspaces)
    registry = ToolRegistry(RoleAuthorizer(DEFAULT_ROLES), tools)
    recorder = ListRecorder()
    live: list[ToolOutput] = []

    async def sink(grant: RunGrant, event: ToolOutput) -> None:
        live.append(event)

    executor = ToolExecutor(
        registry, runtime=runtime, sandboxes=sandboxes, recorder=recorder, sink=sink
    )
    yield House(executor, registry, sandboxes, workspaces, recorder, live)
    await sandboxes.close_all()
