"""What can go wrong with a sandbox, each with what was limited and what to do."""

from codin.errors import CodinError


class SandboxError(CodinError):
    """Base of the sandbox's errors."""


class SandboxUnavailable(SandboxError):  # noqa: N818 - reads as the state it reports
    """The isolation that was asked for cannot be had here; the message says how to get it."""


class SandboxGone(SandboxError):  # noqa: N818
    """The sandbox has ended: it was killed, or died."""


class SandboxTimeout(SandboxError):  # noqa: N818
    """The wall time was used up; every process that was started is gone."""


class OutOfMemory(SandboxError):  # noqa: N818
    """The memory limit was reached; what ran is gone."""


class OutputLimit(SandboxError):  # noqa: N818
    """More output than the limit allows; what ran is gone."""


class PermissionDenied(SandboxError):  # noqa: N818
    """A path outside, or something that this sandbox does not allow."""


class SandboxFileNotFound(SandboxError):  # noqa: N818
    """No file at that path inside the sandbox."""


class CommandNotFound(SandboxError):  # noqa: N818
    """No such command inside the sandbox."""


class WorkerProtocolError(SandboxError):
    """The process inside answered what the protocol does not allow; the Worker was ended."""


class RemoteError(SandboxError):
    """Code inside raised. ``remote_traceback`` is its traceback, as text."""

    def __init__(self, type_name: str, message: str, remote_traceback: str = "") -> None:
        super().__init__(f"{type_name}: {message}")
        self.type_name = type_name
        self.message = message
        self.remote_traceback = remote_traceback
