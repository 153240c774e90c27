"""What an agent that waits for an answer needs to go on, as its task's log keeps it."""

from __future__ import annotations

from codin.task.errors import StateTooLarge
from codin.task.log.base import EventLog, TaskRow

MAX_STATE_BYTES = 16 * 1024 * 1024

_NEAR = 100
"""Events among which a question, what the agent gave with it, and its answer stand."""


def check_state(state: str) -> None:
    """Return when ``state`` can be kept.

    Raises:
        StateTooLarge: it cannot.
    """
    size = len(state.encode("utf-8", "surrogatepass"))
    if size > MAX_STATE_BYTES:
        raise StateTooLarge(
            f"the agent asks, and what it needs to go on has {size:,} bytes: more than the "
            f"{MAX_STATE_BYTES:,} that are kept"
        )


async def kept_state(log: EventLog, row: TaskRow, answered: int) -> str | None:
    """What the agent gave with the question that was answered just before the event ``answered``:
    no other message came in between."""
    after = max(0, answered - _NEAR)
    kept = await log.read(row.principal, row.task_id, after, kinds=("state", "message"))
    last = [event for event in kept if event.seq < answered][-2:]
    if len(last) < 2 or last[0].kind != "state":
        return None
    return str(last[0].body["state"])
