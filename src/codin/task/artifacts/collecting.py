"""Removes what no task refers to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from itertools import groupby

from codin.errors import InvalidInputError
from codin.security import Principal
from codin.task.artifacts.kept import Artifacts
from codin.task.artifacts.references import Reference

LEAST_SECONDS = 3600.0
"""What is younger may be of a task that is about to refer to it."""

Digests = Callable[[Principal, str], Awaitable[Collection[str]]]
"""Gives the contents to which a task's log refers; none when there is no such task."""


@dataclass(frozen=True, slots=True)
class Collected:
    """How many contents were removed, and how many bytes they had."""

    contents: int = 0
    bytes: int = 0


async def collect(artifacts: Artifacts, digests_of: Digests, *, seconds: float) -> Collected:
    """Remove the contents to which no task refers, and that were not put within ``seconds``.

    A reference counts from before its entry in the log is written; of one whose entry never came,
    such as when its process died, the log is asked once it is as old.

    Raises:
        InvalidInputError: ``seconds`` are fewer than ``LEAST_SECONDS``.
        ArtifactError: the store cannot be used.
    """
    if seconds < LEAST_SECONDS:
        raise InvalidInputError(
            f"what is younger than {LEAST_SECONDS:g} seconds is never collected: give at least that"
        )
    while unproven := await artifacts.references.unproven(seconds):
        await _prove(artifacts, digests_of, unproven, seconds)
    await artifacts.store.sweep(seconds)
    contents = freed = 0
    after = ""
    while old := await artifacts.store.old(seconds, after=after):
        after = old[-1]
        for digest in set(old) - await artifacts.references.among(old):
            size = await artifacts.store.remove(digest, seconds=seconds)
            if size is not None:
                contents, freed = contents + 1, freed + size
    return Collected(contents, freed)


async def _prove(
    artifacts: Artifacts, digests_of: Digests, references: list[Reference], seconds: float
) -> None:
    by_task = groupby(sorted(references, key=_task), key=_task)
    there: list[Reference] = []
    gone: list[Reference] = []
    for task_id, some in by_task:
        of_task = list(some)
        principal = of_task[0].principal
        digests = await digests_of(principal, task_id) if principal is not None else ()
        for one in of_task:
            (there if one.digest in digests else gone).append(one)
    await artifacts.references.prove(there)
    await artifacts.references.drop(gone, seconds=seconds)


def _task(reference: Reference) -> str:
    return reference.task_id
