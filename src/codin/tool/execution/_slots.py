"""How many calls run at once."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Slots:
    """Places for calls: so many in all, and so many for one goal."""

    def __init__(self, calls: int, calls_per_goal: int) -> None:
        self._all = asyncio.Semaphore(calls)
        self._per_goal = calls_per_goal
        self._goals: dict[str, asyncio.Semaphore] = {}
        self._users: dict[str, int] = {}

    def taken(self, goal_id: str) -> _Slot:
        """A place for a call of the goal, waited for, for as long as the block is not left."""
        return _Slot(self, goal_id)

    async def take(self, goal_id: str) -> None:
        """Wait for a place; ``give_back`` it. Whose waiting is cut short has none."""
        goal = self._goals.get(goal_id)
        if goal is None:
            goal = self._goals[goal_id] = asyncio.Semaphore(self._per_goal)
        self._users[goal_id] = self._users.get(goal_id, 0) + 1
        # The goal's own first: a goal that waits for itself holds up nobody else.
        try:
            await goal.acquire()
            try:
                await self._all.acquire()
            except BaseException:
                goal.release()
                raise
        except BaseException:
            self._left(goal_id)
            raise

    def give_back(self, goal_id: str) -> None:
        """Let somebody else have the place."""
        self._all.release()
        self._goals[goal_id].release()
        self._left(goal_id)

    def _left(self, goal_id: str) -> None:
        self._users[goal_id] -= 1
        if not self._users[goal_id]:
            del self._users[goal_id], self._goals[goal_id]


class _Slot:
    __slots__ = ("_goal_id", "_slots")

    def __init__(self, slots: Slots, goal_id: str) -> None:
        self._slots = slots
        self._goal_id = goal_id

    async def __aenter__(self) -> None:
        await self._slots.take(self._goal_id)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._slots.give_back(self._goal_id)
