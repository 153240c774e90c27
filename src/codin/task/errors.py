"""What can go wrong with tasks and their log."""

from __future__ import annotations

from codin.errors import CodinError, InvalidInputError, NotFoundError


class TaskError(CodinError):
    """Base of the task package's errors."""


class UnknownTask(TaskError, NotFoundError):
    """No such task for this caller; unknown and somebody else's look the same."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"there is no task {task_id[:100]!r}")


class TaskExists(TaskError, InvalidInputError):
    """A task of this id was created before."""


class StaleAnswer(TaskError):
    """An answer to a question that its task does not ask any more. Nothing was written."""


class TaskRepeated(TaskError):
    """The same message made a task before: ``task_id``. Nothing was written."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"this message made the task {task_id!r} already: no second one was made")
        self.task_id = task_id


class UnstorableName(TaskError, InvalidInputError):
    """A name holds a character that a database cannot (NUL, half a surrogate pair)."""


class StateTooLarge(TaskError, InvalidInputError):
    """What an agent needs to go on when it is answered is more than is kept."""


class FencedError(TaskError):
    """The lease is stale: another owner has the task now, and nothing was written."""


class TaskEnded(TaskError):
    """The task is in a terminal state: nothing can follow, and nothing was written."""


class LogError(TaskError):
    """The log cannot be used: its database is locked, broken, away or closed."""


class LogVersionError(LogError):
    """The log's database was made by a newer codin."""


class ArtifactError(LogError):
    """The large contents of tasks cannot be used: their store is full, broken or away."""


class ArtifactVersionError(ArtifactError, LogVersionError):
    """The store of artifacts was made by a newer codin."""


class DamagedArtifact(ArtifactError):
    """A content is not what was stored, or is gone although a task refers to it."""

    def __init__(self, digest: str, place: str) -> None:
        super().__init__(
            f"the content {digest} of a task is damaged or lost ({place}): restore it from a backup"
        )


def is_away(error: BaseException) -> bool:
    """Whether it is that the log cannot be used, which may be over when it is tried again."""
    return isinstance(error, LogError) and not isinstance(error, DamagedArtifact | LogVersionError)


class UnknownArtifact(TaskError, NotFoundError):
    """No such content for this caller; unknown and somebody else's look the same."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"there is no artifact {digest[:100]!r}")
