"""What goes wrong at the E2B face, as its REST answers and its Connect calls tell it."""

from __future__ import annotations

from typing import ClassVar

from codin.errors import InvalidInputError
from codin.gateway.errors import GatewayError, LimitReached
from codin.sandbox.errors import (
    DiskLimit,
    LimitExceeded,
    OutputLimit,
    PermissionDenied,
    SandboxFileNotFound,
    SandboxGone,
    SandboxTimeout,
    SandboxUnavailable,
)
from codin.security import ForbiddenError


class E2bError(GatewayError):
    """Base of what this face answers with: an HTTP ``status``, and a Connect ``code``."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"


class BadRequest(E2bError):
    """What was asked cannot be understood."""

    status, code = 400, "invalid_argument"


class UnknownCaller(E2bError):
    """No key or token that is good."""

    status, code = 401, "unauthenticated"


class NotAllowed(E2bError):
    """The caller, or code in the sandbox, may not do that."""

    status, code = 403, "permission_denied"


class NotThere(E2bError):
    """There is no such thing, or it is somebody else's."""

    status, code = 404, "not_found"


class AlreadyThere(E2bError):
    """It is there already, or is asked for in two ways."""

    status, code = 409, "already_exists"


class TooLarge(E2bError):
    """More than one request may carry, or one answer."""

    status, code = 413, "resource_exhausted"


class WrongMediaType(E2bError):
    """Not in a form that is read here."""

    status, code = 415, "invalid_argument"


class TooMany(E2bError):
    """The caller has as much as it may have."""

    status, code = 429, "resource_exhausted"


class NotServed(E2bError):
    """E2B has it and this service does not."""

    status, code = 501, "unimplemented"


class SandboxNotFound(E2bError):
    """The sandbox has ended, or never was. SDKs know it by these words."""

    status, code = 502, "unavailable"

    def __init__(self, identity: str) -> None:
        super().__init__(f"The sandbox {identity} was not found")


class PortClosed(E2bError):
    """Nothing listens there inside. SDKs know it by these words."""

    status, code = 502, "unavailable"

    def __init__(self, identity: str, port: int) -> None:
        super().__init__(f"The sandbox {identity} is running but the port is not open: {port}")


class Unavailable(E2bError):
    """This machine cannot do it now."""

    status, code = 503, "unavailable"


class TooLate(E2bError):
    """It took longer than the caller gave it."""

    status, code = 504, "deadline_exceeded"


class NoSpace(E2bError):
    """The disk of the sandbox is full."""

    status, code = 507, "resource_exhausted"


_TOLD: tuple[tuple[type[Exception], type[E2bError]], ...] = (
    (SandboxFileNotFound, NotThere),
    (PermissionDenied, NotAllowed),
    (DiskLimit, NoSpace),
    (OutputLimit, TooLarge),
    (SandboxTimeout, TooLate),
    (LimitExceeded, TooMany),
    (SandboxUnavailable, Unavailable),
    (ForbiddenError, NotAllowed),
    (InvalidInputError, BadRequest),
    (LimitReached, TooMany),
)


def told(error: Exception, sandbox: str = "") -> E2bError:
    """``error`` in the words of this face. One that is not foreseen says nothing of the inside."""
    if isinstance(error, E2bError):
        return error
    if isinstance(error, SandboxGone):
        return SandboxNotFound(sandbox)
    for kind, as_told in _TOLD:
        if isinstance(error, kind):
            return as_told(str(error))
    return E2bError("something went wrong here; the server's log has it")
