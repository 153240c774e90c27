"""What can go wrong with a sandbox, each with what was limited and what to do."""

from codin.errors import CodinError


class SandboxError(CodinError):
    """Base of the sandbox's errors."""


class SandboxUnavailable(SandboxError):
    """The isolation that was asked for cannot be had here; the message says how to get it."""


class SandboxGone(SandboxError):
    """The sandbox has ended: it was killed, or died."""


class WorkerGone(SandboxGone):
    """The process of a Worker has ended, and the state of its sessions with it."""


class LimitExceeded(SandboxError):
    """A limit was reached; what ran is gone. ``limit`` is the field of ``Limits`` that bit."""

    limit = ""


class SandboxTimeout(LimitExceeded):
    """The wall time was used up; every process that was started is gone."""

    limit = "wall_seconds"


class CpuLimit(SandboxTimeout):
    """The processor time was used up; every process that was started is gone."""

    limit = "cpu_seconds"


class OutOfMemory(LimitExceeded):
    """The memory limit was reached; what ran is gone."""

    limit = "memory_bytes"


class OutputLimit(LimitExceeded):
    """More output than the limit allows; what ran is gone."""

    limit = "output_bytes"


class DiskLimit(LimitExceeded):
    """More on disk than the limit allows; what ran is gone, or nothing was written."""

    limit = "disk_bytes"


class PermissionDenied(SandboxError):
    """A path outside, or something that this sandbox does not allow."""


class SandboxFileNotFound(SandboxError):
    """No file at that path inside the sandbox."""


class CommandNotFound(SandboxError):
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
