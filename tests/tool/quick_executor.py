"""An executor of tools that run in this process: it has no sandbox, and no call may want one."""

import time
from typing import Any

from codin.config import PolicySettings
from codin.security import DEFAULT_ROLES, LOCAL_USER, Principal, RoleAuthorizer, RunGrant
from codin.tool import (
    ExecutorSettings,
    Invocation,
    Policies,
    RunnableTool,
    ToolExecutor,
    ToolRegistry,
    ToolSpec,
)
from codin.tool.events import ToolOutput


class Scripted(RunnableTool):
    """Gives what its script says, one entry a call; an entry that is an error is raised, and the
    last stays. Remembers its calls."""

    def __init__(self, *script: Any, name: str = "scripted", **spec: Any) -> None:
        self.name = name
        spec.setdefault("input_schema", {"type": "object", "properties": {"x": {}}})
        self.spec = ToolSpec(name=name, trusted=True, **spec)
        self.script = list(script)
        self.calls: list[Invocation] = []

    async def run(self, call: Invocation) -> Any:
        entry = self.script[min(len(self.calls), len(self.script) - 1)]
        self.calls.append(call)
        if isinstance(entry, BaseException):
            raise entry
        return await entry(call) if callable(entry) else entry


class NoPlace:
    """Stands where a sandbox would be had, and has none."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a call in this process asked for {name}")


class Quick:
    """An executor over ``tools`` alone."""

    def __init__(
        self,
        *tools: RunnableTool,
        policies: tuple[dict[str, Any], ...] = (),
        settings: ExecutorSettings | None = None,
        live: list[ToolOutput] | None = None,
        **given: Any,
    ) -> None:
        self.registry = ToolRegistry(RoleAuthorizer(DEFAULT_ROLES), tools)

        async def sink(grant: RunGrant, event: ToolOutput) -> None:
            live.append(event)

        self.executor = ToolExecutor(
            self.registry,
            runtime=NoPlace(),
            sandboxes=NoPlace(),
            sink=None if live is None else sink,
            policies=Policies(PolicySettings(**policy) for policy in policies),
            settings=settings,
            **given,
        )

    def grant(self, principal: Principal = LOCAL_USER, task: str = "task-1") -> RunGrant:
        names = frozenset(tool.spec.name for tool in self.registry.list(LOCAL_USER))
        return RunGrant(task, "goal-1", "c", "agent-1", principal, names, time.time() + 600)

    async def call(self, name: str, arguments: Any, *, principal: Principal = LOCAL_USER) -> Any:
        return await self.executor.call(self.grant(principal), name, arguments)
