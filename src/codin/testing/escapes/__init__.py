"""Attempts to get out of a sandbox, each with what must be seen and a positive control.

Run them with ``run_place``, or by ``python -m codin.testing.escapes``.
"""

from codin.testing.escapes import (
    answers,
    commands,
    devices,
    disk,
    files,
    kernel,
    memory,
    network,
    output,
    races,
    rights,
    spaces,
    walks,
)
from codin.testing.escapes.base import Attempt, Outcome
from codin.testing.escapes.places import PLACES, Place
from codin.testing.escapes.runner import MOST_DELAY, Result, Trace, run_controls, run_place

FAMILIES: dict[str, tuple[Attempt, ...]] = {
    "Files of the host": files.ATTEMPTS,
    "Files that the host reaches for": (*walks.ATTEMPTS, *races.ATTEMPTS),
    "Processes, namespaces and control groups of the host": spaces.ATTEMPTS,
    "Rights": rights.ATTEMPTS,
    "The kernel": kernel.ATTEMPTS,
    "Devices and terminals": devices.ATTEMPTS,
    "Networks and sockets": network.ATTEMPTS,
    "Memory": memory.ATTEMPTS,
    "Disk": disk.ATTEMPTS,
    "Output": output.ATTEMPTS,
    "Commands": commands.ATTEMPTS,
    "Answers of a Worker": answers.ATTEMPTS,
}
ATTEMPTS: tuple[Attempt, ...] = tuple(
    attempt for attempts in FAMILIES.values() for attempt in attempts
)

__all__ = [
    "ATTEMPTS",
    "FAMILIES",
    "MOST_DELAY",
    "PLACES",
    "Attempt",
    "Outcome",
    "Place",
    "Result",
    "Trace",
    "run_controls",
    "run_place",
]
