"""A real executor over real sandboxes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tool_house import House, ListRecorder

from codin.runtime.local import LocalRuntime
from codin.sandbox.local import LocalSandboxProvider
from codin.security import DEFAULT_ROLES, RoleAuthorizer, RunGrant
from codin.tool import (
    GoalSandboxes,
    RunnableTool,
    ToolExecutor,
    ToolRegistry,
    Workspaces,
    builtin_tools,
)
from codin.tool.events import ToolOutput

SALES = "day,region,amount\n2025-01-01,North,10.5\n2025-01-02,South,\n2025-01-03,North,7\n"


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
