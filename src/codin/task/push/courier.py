"""Tells one config the news of its task, in order."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential_jitter,
)

from codin.task.errors import UnknownTask
from codin.task.log.base import EventLog
from codin.task.log.entries import LogEvent
from codin.task.log.follow import follow
from codin.task.push.base import Claim, DeadLetter, Notification, PushConfigStore, PushSender
from codin.task.push.errors import DeliveryFailed
from codin.task.states import INTERRUPTED, TERMINAL
from codin.task.updates import update_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often an event is tried, and how long is waited in between, in seconds.

    The wait doubles from ``first`` to ``longest``, with up to ``jitter`` on top; a receiver's own
    Retry-After is kept up to ``asked``.
    """

    attempts: int = 10
    first: float = 1.0
    longest: float = 300.0
    jitter: float = 1.0
    asked: float = 3600.0

    def wait(self) -> Callable[[RetryCallState], float]:
        """The wait after a failed attempt."""
        backoff = wait_exponential_jitter(self.first, self.longest, 2, self.jitter)

        def seconds(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.retry_after if isinstance(error, DeliveryFailed) else None
            return max(backoff(state), min(asked or 0.0, self.asked))

        return seconds


class ClaimLost(Exception):
    """The config was deleted, or is in another's hands."""


class Courier:
    """Follows a task's log for the config of ``claim`` until the task has ended and all is told.

    When a receiver has used up the attempts of an event, each further event is tried once only,
    until one is taken again; those that end the task, or ask for something, always have all.
    An attempt waits for a place in each of ``rooms``.
    """

    def __init__(
        self,
        claim: Claim,
        store: PushConfigStore,
        log: EventLog,
        sender: PushSender,
        *,
        policy: RetryPolicy,
        rooms: Sequence[asyncio.Semaphore],
        poll: float,
    ) -> None:
        self._claim = claim
        self._store = store
        self._log = log
        self._sender = sender
        self._policy = policy
        self._rooms = rooms
        self._poll = poll
        self._given_up = False

    async def run(self) -> None:
        """Return when there is nothing more to tell, or it is another's to tell."""
        try:
            await self._follow()
        except ClaimLost:
            return
        except UnknownTask:
            await self._store.advance(self._claim, 0, done=True)

    async def _follow(self) -> None:
        claim = self._claim
        whose, task_id = claim.principal, claim.config.task_id
        context_id = (await self._log.task(whose, task_id)).context_id
        seq = claim.cursor
        events = follow(self._log, whose, task_id, after=seq, poll=self._poll)
        async with aclosing(events):
            async for event in events:
                seq = event.seq
                notification = notification_of(event, context_id)
                if notification is not None:
                    await self._tell(notification, event)
        await self._store.advance(claim, seq, done=True)

    async def _tell(self, notification: Notification, event: LogEvent) -> None:
        begun = time.time()
        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._attempts(event)),
            wait=self._policy.wait(),
            retry=retry_if_exception(_may_pass),
            reraise=True,
        )
        try:
            await retrying(self._attempt, notification)
        except DeliveryFailed as error:
            tried = int(retrying.statistics["attempt_number"])
            self._given_up = True
            await self._note(event.seq, self._letter(event, error, tried, begun))
        else:
            self._given_up = False
            await self._note(event.seq)

    async def _attempt(self, notification: Notification) -> None:
        claim = await self._store.current(self._claim)
        if claim is None:
            raise ClaimLost
        self._claim = claim
        async with AsyncExitStack() as stack:
            for room in self._rooms:
                await stack.enter_async_context(room)
            await self._send(claim, notification)

    async def _send(self, claim: Claim, notification: Notification) -> None:
        try:
            await self._sender.send(claim.config, notification)
        except DeliveryFailed:
            raise
        except Exception as error:
            _log.exception("config %s: a notification could not be sent", claim.number)
            raise DeliveryFailed("the notification could not be sent", passing=False) from error

    async def _note(self, seq: int, letter: DeadLetter | None = None) -> None:
        if not await self._store.advance(self._claim, seq, letter=letter):
            raise ClaimLost

    def _attempts(self, event: LogEvent) -> int:
        patient = not self._given_up or event.state in TERMINAL | INTERRUPTED
        return self._policy.attempts if patient else 1

    def _letter(
        self, event: LogEvent, error: DeliveryFailed, attempts: int, begun: float
    ) -> DeadLetter:
        config = self._claim.config
        return DeadLetter(
            task_id=event.task_id,
            config_id=config.id,
            seq=event.seq,
            url=config.url,
            reason=error.reason,
            status=error.status,
            attempts=attempts,
            first=begun,
            last=time.time(),
        )


def notification_of(event: LogEvent, context_id: str) -> Notification | None:
    """What is told of ``event``: what a stream would tell; ``None`` for what no stream tells. The
    same event gives the same bytes, in every process."""
    update = update_of(event, context_id)
    if update is None:
        return None
    # Escaped: a body may hold what is no text in UTF-8, half of a surrogate pair.
    body = json.dumps(update.body, sort_keys=True)
    return Notification(event.task_id, event.seq, body.encode())


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, DeliveryFailed) and error.passing
