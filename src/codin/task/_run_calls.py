"""The tool calls of one run, and what stops it: a call that has to be answered first."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codin.agent.events import InputRequest
from codin.tool.base import RunEnded
from codin.tool.invocation import CallFinished

if TYPE_CHECKING:
    from a2a.types import Message


@dataclass(frozen=True, slots=True)
class Question:
    """What the call ``key`` asks before it goes on."""

    key: str
    request: InputRequest


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the question of the call ``key``, and its place in the task's log."""

    key: str
    message: Message
    seq: int


class RunCalls:
    """The calls of one run, which is ``left`` once it is ended for the ``question`` of one.

    ``finished`` are those that earlier attempts of the run have made, by idempotency key, and
    ``left_open`` the places in the log of those that were under way when an attempt ended;
    ``reply`` is the answer to what one of them asked. A call that asks stops the run: no other
    begins, those under way come to their end, and then the run is made again when somebody has
    answered.
    """

    def __init__(
        self,
        finished: Mapping[str, CallFinished] | None = None,
        left_open: Mapping[str, int] | None = None,
        reply: Reply | None = None,
    ) -> None:
        self.question: Question | None = None
        self._finished = finished or {}
        self._left_open = left_open or {}
        self._reply = reply
        self.left = False
        self._under_way: set[str] = set()
        self._closing = False
        self._changed = asyncio.Event()
        self._over = asyncio.Event()

    def known(self, key: str) -> CallFinished | None:
        """How the call ended in an earlier attempt."""
        return self._finished.get(key)

    def interrupted(self, key: str) -> bool:
        """Whether the call may have been made already, by an attempt that did not live to see its
        end. What was answered before that is no answer to whether it may be made again."""
        if key not in self._left_open:
            return False
        if self._reply is not None and self._reply.seq < self._left_open[key]:
            self.reply_to(key)
        return True

    def reply_to(self, key: str) -> Reply | None:
        """The answer to the question of the call, once."""
        if self._reply is None or self._reply.key != key:
            return None
        reply, self._reply = self._reply, None
        return reply

    async def begin(self, key: str) -> None:
        """Return when the call may be made.

        Raises:
            RunEnded: the run is over.
        """
        while self.question is not None or self._closing:
            await self._wait()
        self._under_way.add(key)

    def end(self, key: str) -> None:
        """The call has ended."""
        self._under_way.discard(key)
        self._tell()

    async def ask(self, question: Question) -> None:
        """Have the run stopped with ``question``; returns never. A call that is given up before
        takes its question back.

        Raises:
            RunEnded: the run is over now.
        """
        self.end(question.key)
        while self.question is not None or self._closing:
            await self._wait()
        self.question = question
        self._tell()
        try:
            await self._over.wait()
        finally:
            if not self.left:
                self.question = None
                self._tell()
        raise _ended()

    async def asked(self) -> Question:
        """The question, once there is one and no call is under way any more."""
        while self.question is None or self._under_way:
            await self._wait()
        return self.question

    def close(self, *, left: bool) -> None:
        """The run is being ended: no call begins any more. One that is ``left`` goes on when its
        question is answered, which none takes back now."""
        self._closing, self.left = True, left

    def over(self) -> None:
        """The run has ended: nobody waits any longer."""
        self._closing = True
        self._over.set()
        self._tell()

    async def _wait(self) -> None:
        if self._over.is_set():
            raise _ended()
        await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _ended() -> RunEnded:
    return RunEnded("the run has ended: it can call nothing more")
