"""A meter that keeps its counts in memory."""

from __future__ import annotations

from collections import defaultdict

from codin.model.base import CallContext, Meter, ModelUsage
from codin.model.errors import BudgetExceeded


class MemoryMeter(Meter):
    """Counts tokens by task, and stops a task that has used what its context grants."""

    def __init__(self) -> None:
        self._used: dict[str, list[ModelUsage]] = defaultdict(list)

    def usage(self, task_id: str) -> list[ModelUsage]:
        """What the task's requests used, oldest first."""
        return list(self._used.get(task_id, ()))

    def tokens(self, task_id: str) -> int:
        """All tokens that the task used, in and out."""
        return sum(usage.total_tokens for usage in self._used.get(task_id, ()))

    def forget(self, task_id: str) -> None:
        """Drop the counts of a task that has ended."""
        self._used.pop(task_id, None)

    async def allow(self, context: CallContext) -> None:
        used = self.tokens(context.task_id)
        if context.max_tokens is not None and used >= context.max_tokens:
            raise BudgetExceeded(
                f"task {context.task_id} has used {used} of its {context.max_tokens} model tokens;"
                " grant it more, or ask for less"
            )

    async def record(self, context: CallContext, usage: ModelUsage) -> None:
        self._used[context.task_id].append(usage)
