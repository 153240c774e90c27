"""A tool and a task to try an agent with."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from codin.agent.a2a import user_message
from codin.agent.base import Task
from codin.security import LOCAL_USER
from codin.tool.base import ToolSpec

__all__ = ["FakeTool", "adding_tool", "task_for"]

_NUMBERS = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
}


class FakeTool:
    """A tool that calls ``function`` and remembers with what."""

    def __init__(
        self,
        name: str,
        function: Callable[..., Awaitable[Any]],
        *,
        description: str = "",
        input_schema: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.spec = ToolSpec(
            name=name, description=description, input_schema=input_schema or {"type": "object"}
        )
        self.calls: list[dict[str, Any]] = []
        self._function = function

    async def invoke(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(kwargs)
        return await self._function(*args, **kwargs)


def adding_tool() -> FakeTool:
    """``add(a, b)``, which gives ``{"sum": a + b}``."""

    async def add(a: int = 0, b: int = 0) -> dict[str, int]:
        return {"sum": a + b}

    return FakeTool("add", add, description="Add two numbers.", input_schema=_NUMBERS)


def task_for(
    said: str,
    *,
    tools: Sequence[FakeTool] = (),
    history: Sequence[Any] = (),
    task_id: str = "",
    context_id: str = "",
) -> Task:
    """A task of the local user that says ``said``."""
    task_id = task_id or uuid.uuid4().hex
    context_id = context_id or f"context-{task_id}"
    return Task(
        id=task_id,
        context_id=context_id,
        message=user_message(said, context_id=context_id, task_id=task_id),
        principal=LOCAL_USER,
        history=tuple(history),
        tools=tuple(tools),
    )
