"""The contract of the connection to a Worker's process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from codin.sandbox.base import Limits
from codin.sandbox.errors import SandboxError
from codin.sandbox.outcome import OutputChunk, Usage
from codin.sandbox.worker import frames

_LEAST_FRAME = 256 * 1024  # a traceback always fits


class WorkerLink(ABC):
    """How a Worker's process is reached. Each kind of sandbox has one."""

    limits: Limits

    @abstractmethod
    def listen(self, received: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        """From now on the running loop gives what comes to ``received``, as it comes; ``lost`` is
        called once, when the other side has gone."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send bytes, or keep them until they can be sent. Never waits."""

    @abstractmethod
    def begin(self, sink: Callable[[OutputChunk], None]) -> None:
        """A call begins: output goes to ``sink``, and is counted from 0."""

    @abstractmethod
    def finish(self) -> Callable[[], Usage]:
        """The call has ended: what it wrote has gone to its sink; gives what tells its usage.

        Raises ``EOFError`` when the process was ended in the meantime.
        """

    @abstractmethod
    def end(self, reason: SandboxError | None = None) -> None:
        """Kill the process and all that it started. Returns at once."""

    @abstractmethod
    async def wait(self) -> int:
        """Until it is gone; gives its exit code, or raises why it was ended."""

    def last_words(self) -> str:
        """What it printed outside of any call: why it could not start, perhaps."""
        return ""


def frame_limit(limits: Limits) -> int:
    """The most bytes of one frame that comes from inside: values count as output."""
    if limits.output_bytes is None:
        return frames.MAX_FRAME
    return min(max(limits.output_bytes, _LEAST_FRAME), frames.MAX_FRAME)
