"""How urgent a task is: its priority, and when it has to be done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict

from codin.errors import InvalidInputError

if TYPE_CHECKING:
    from a2a.types import Message

KEY = "codin"
"""Key in a message's metadata of ``{"priority", "seconds"}``."""

MAX_PRIORITY = 100


@dataclass(frozen=True, slots=True)
class Urgency:
    """``priority`` is -100 to 100: of one tenant's waiting tasks the higher ones begin first.
    ``deadline``, in seconds since the epoch by the log's clock, is when the task is ended, whatever
    it has come to."""

    priority: int = 0
    deadline: float | None = None


NOT_URGENT = Urgency()


async def urgency_of(message: Message, clock: Callable[[], Awaitable[float]]) -> Urgency:
    """What the metadata of a message says of the task that it makes: ``{"codin": {"priority": 10,
    "seconds": 600}}``, where the seconds count from now, by ``clock``.

    Raises:
        InvalidInputError: it is no such thing; the message says what it may be.
    """
    if KEY not in message.metadata.fields:
        return NOT_URGENT
    given = MessageToDict(message.metadata)[KEY]
    if not isinstance(given, dict):
        raise InvalidInputError(f"the metadata {KEY!r} of a message is an object, not {given!r}")
    priority = _number(given, "priority", -MAX_PRIORITY, MAX_PRIORITY)
    seconds = _number(given, "seconds", 0.001, 10 * 365 * 86400)
    deadline = None if seconds is None else await clock() + seconds
    return Urgency(int(priority or 0), deadline)


def _number(given: dict[str, Any], key: str, least: float, most: float) -> float | None:
    value = given.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise InvalidInputError(
            f"the {key} of a task is a number from {least:g} to {most:g}, not {str(value)[:80]!r}"
        )
    return float(value)
