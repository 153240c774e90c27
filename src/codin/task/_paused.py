"""What a run that waits for an answer needs to go on, as its task's log keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from codin.jsontext import encoded
from codin.task.errors import StateTooLarge
from codin.task.log.base import EventLog
from codin.task.log.rows import TaskRow

Json = dict[str, Any]

MAX_STATE_BYTES = 16 * 1024 * 1024

_NEAR = 100
"""Events among which what was kept with a question, the question, and its answer stand."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A run that was ended because the call with the idempotency key ``key`` asks something: when
    it is answered, the run is made again."""

    key: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What was kept with a question: the ``state`` that the agent gave with it, or the ``pause`` of
    the run. Only the platform writes the latter, so that no agent can have said what it says."""

    state: str | None = None
    pause: Pause | None = None

    def checked(self) -> Json:
        """It as JSON data.

        Raises:
            StateTooLarge: it is more than is kept.
        """
        said = {"state": self.state} if self.pause is None else {"pause": asdict(self.pause)}
        size = len(encoded(said))
        if size > MAX_STATE_BYTES:
            raise StateTooLarge(
                f"the agent asks, and what it needs to go on has {size:,} bytes: more than the "
                f"{MAX_STATE_BYTES:,} that are kept"
            )
        return said


async def kept_with(log: EventLog, row: TaskRow, answer: int) -> Kept:
    """What was kept with the question to which the event ``answer`` is the answer, or will be."""
    after = max(0, answer - _NEAR)
    kept = await log.read(row.principal, row.task_id, after, kinds=("state", "message"))
    before = [event for event in kept if event.seq < answer]
    if not before or before[-1].kind != "state":
        return Kept()
    return _kept(before[-1].body)


def _kept(body: Mapping[str, Any]) -> Kept:
    if "pause" in body:
        return Kept(pause=Pause(**body["pause"]))
    return Kept(state=str(body["state"]))
