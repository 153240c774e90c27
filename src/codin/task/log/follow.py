"""Reading a log as it grows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing

from codin.security import Principal
from codin.task.log.base import READ_LIMIT, EventLog
from codin.task.log.entries import LogEvent
from codin.task.states import STOPPED, TERMINAL

POLL_SECONDS = 1.0
"""How often is looked without a wake-up: what a reader in another process waits at most."""


async def follow(
    log: EventLog,
    principal: Principal,
    task_id: str,
    *,
    after: int = 0,
    until: Collection[str] = TERMINAL,
    poll: float = POLL_SECONDS,
) -> AsyncGenerator[LogEvent, None]:
    """The events with ``seq > after``, those that are there and those to come, each once and in
    order, up to and with the one that puts the task in a state of ``until``.

    Raises:
        UnknownTask: there is no such task for this principal.
    """
    batches = follow_batches(log, principal, task_id, after=after, until=until, poll=poll)
    async with aclosing(batches):
        async for events in batches:
            for event in events:
                yield event


async def follow_batches(
    log: EventLog,
    principal: Principal,
    task_id: str,
    *,
    after: int = 0,
    until: Collection[str] = TERMINAL,
    over: Collection[str] | None = None,
    poll: float = POLL_SECONDS,
) -> AsyncGenerator[Sequence[LogEvent], None]:
    """What ``follow`` gives, in the pieces in which it was read; none is empty.

    A task that has no event after ``after`` and is in a state of ``over`` (``until`` when not
    given) is not waited for.

    Raises:
        UnknownTask: there is no such task for this principal.
    """
    with log.notifier.subscribe(task_id) as wakeups:
        begun = False
        while True:
            recent = log.recent(principal, task_id, after)
            events = recent or await log.read(principal, task_id, after)
            ended = next((n for n, event in enumerate(events) if event.state in until), None)
            if ended is not None:
                yield events[: ended + 1]
                return
            if events:
                after = events[-1].seq
                yield events
            elif not begun:
                # only before the first event can the task be in such a state already
                row = await log.task(principal, task_id)
                if row.last_seq > after:
                    continue
                if row.state in (until if over is None else over):
                    return
            begun = True
            if not _has_more(events, recent=bool(recent)):
                await wakeups.wait(poll)


def _has_more(events: Sequence[LogEvent], *, recent: bool) -> bool:
    """Whether there may be more already, of which no wake-up will tell. Who wrote what is recent
    has the task in hand, unless it stopped with it: then another process may have gone on."""
    return events[-1].state in STOPPED if recent else len(events) == READ_LIMIT
