"""Reading a log as it grows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection

from codin.security import Principal
from codin.task.log.base import EventLog, LogEvent
from codin.task.states import TERMINAL

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
    with log.notifier.subscribe(task_id) as wakeups:
        while True:
            events = await log.read(principal, task_id, after)
            for event in events:
                yield event
                after = event.seq
                if event.state in until:
                    return
            if events:
                continue
            row = await log.task(principal, task_id)
            if row.state in until and row.last_seq <= after:
                return
            if row.last_seq <= after:
                await wakeups.wait(poll)
