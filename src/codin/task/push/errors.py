"""What can go wrong with push notifications."""

from __future__ import annotations

from codin.errors import InvalidInputError, NotFoundError
from codin.task.errors import TaskError


class PushError(TaskError):
    """Base of the push package's errors."""


class UnknownPushConfig(PushError, NotFoundError):
    """No such config for this caller; unknown and somebody else's look the same."""

    def __init__(self, task_id: str, config_id: str) -> None:
        super().__init__(
            f"task {task_id[:100]} has no push notification config {config_id[:100]!r}"
        )


class PushConfigRefused(PushError, InvalidInputError):
    """The config cannot be used: the message says which part, and what would do."""


class PushStoreError(PushError):
    """The store cannot be used: its file is locked, broken, closed, or of a newer codin."""


class SignatureRefused(PushError):
    """The signature is not one of this body by a key that is trusted."""


class DeliveryFailed(PushError):
    """An attempt at delivery did not succeed.

    ``status`` is the receiver's HTTP status, if it answered; ``passing`` says that another attempt
    may succeed, ``retry_after`` how many seconds the receiver asked to be left alone.
    """

    def __init__(
        self,
        reason: str,
        *,
        passing: bool,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.passing = passing
        self.status = status
        self.retry_after = retry_after
