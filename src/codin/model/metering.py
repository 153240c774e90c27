"""A meter that keeps its counts in memory."""

from __future__ import annotations

from collections import OrderedDict

from codin.model.base import CallContext, Meter, ModelUsage
from codin.model.errors import BudgetExceeded

_MOST_TASKS = 10_000


class MemoryMeter(Meter):
    """Counts tokens by task, and stops a task that has used what its context grants.

    It knows the ``tasks`` that asked last; what others used is forgotten."""

    def __init__(self, tasks: int = _MOST_TASKS) -> None:
        self._tasks = tasks
        self._used: OrderedDict[str, list[ModelUsage]] = OrderedDict()

    def usage(self, task_id: str) -> list[ModelUsage]:
        """What the task's requests used, oldest first."""
        return list(self._used.get(task_id, ()))

    def tokens(self, task_id: str) -> int:
        """All tokens that the task used, in and out."""
        return sum(usage.total_tokens for usage in self._used.get(task_id, ()))

    async def allow(self, context: CallContext) -> None:
        used = self.tokens(context.task_id)
        if context.max_tokens is not None and used >= context.max_tokens:
            raise BudgetExceeded(
                f"task {context.task_id} has used {used} of its {context.max_tokens} model tokens;"
                " grant it more, or ask for less"
            )

    async def record(self, context: CallContext, usage: ModelUsage) -> None:
        self._used.setdefault(context.task_id, []).append(usage)
        self._used.move_to_end(context.task_id)
        while len(self._used) > self._tasks:
            self._used.popitem(last=False)
