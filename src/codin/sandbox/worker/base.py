"""The contract of a Worker: the one protocol by which code inside a sandbox is driven."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from codin.sandbox.outcome import CodeResult, OnOutput, OutputChunk, Usage


class Worker(ABC):
    """A small process inside a sandbox that runs what it is sent, until it is closed.

    One call at a time: more of them wait for each other. What comes back is data (msgpack), never
    an object that is unpickled. ``idle`` is true while it can be asked and nothing is under way.
    """

    @property
    @abstractmethod
    def idle(self) -> bool: ...

    @abstractmethod
    async def greet(self) -> None:
        """Wait until the process inside is ready. Calls do it by themselves.

        Raises:
            LimitExceeded, WorkerGone, WorkerProtocolError: as ``run_code`` does.
        """

    @abstractmethod
    async def preload(self, modules: Sequence[str]) -> None:
        """Import ``modules`` now, so that no call has to; above all none that is ``fresh``.

        Raises:
            RemoteError: one of them cannot be imported.
            LimitExceeded, WorkerGone, WorkerProtocolError: as ``run_code`` does.
        """

    @abstractmethod
    def call(
        self,
        target: str,
        /,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] = MappingProxyType({}),
        *,
        source: str | None = None,
        timeout: float | None = None,
        fresh: bool = False,
    ) -> WorkerCall:
        """Start calling ``target``.

        ``target`` is ``module:qualname``; with ``source`` the module is made from that text and
        kept. Arguments and results are msgpack data. With ``fresh`` a copy of the process runs the
        call: it finds everything as it is in the Worker now, and nothing of what it does to memory
        is kept. When it is done, whatever it has started is ended too. Its files are the
        sandbox's, as those of any other call.
        """

    @abstractmethod
    def construct(
        self,
        instance: str,
        target: str,
        /,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] = MappingProxyType({}),
        *,
        source: str | None = None,
        timeout: float | None = None,
    ) -> WorkerCall:
        """Start making an object by calling ``target``; it is kept under the name ``instance``."""

    @abstractmethod
    def method(
        self,
        instance: str,
        method: str,
        /,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] = MappingProxyType({}),
        *,
        timeout: float | None = None,
    ) -> WorkerCall:
        """Start calling a method of an object that ``construct`` made."""

    @abstractmethod
    async def run_code(
        self,
        code: str,
        *,
        language: str = "python",
        session: str = "main",
        timeout: float | None = None,
        on_output: OnOutput | None = None,
        fresh: bool = False,
    ) -> CodeResult:
        """Run code in a session that keeps its state between calls; with ``fresh`` in a copy of it.

        ``language`` is ``"python"`` or ``"bash"`` (working directory and exported variables are
        kept). An exception of the code is the result's ``error``, not an exception here; so is an
        exit status other than 0 of bash.

        Raises:
            LimitExceeded: ``SandboxTimeout``, ``OutOfMemory``, ``OutputLimit``, ``DiskLimit``.
            WorkerGone: the process ended, by itself or by ``close``.
            WorkerProtocolError: it answered what the protocol does not allow.
            InvalidInputError: a language that is not spoken here.
        """

    @abstractmethod
    async def python(self) -> str:
        """The version of the Python that it is, as it says: ``"3.12.4"``.

        Raises:
            WorkerGone, WorkerProtocolError
        """

    @abstractmethod
    async def close(self) -> None:
        """End the process. Safe to call twice."""


class WorkerCall(ABC):
    """A call under way: await it for its value, or iterate its output or its items first.

    ``usage`` is what it used, once it has ended.
    """

    @property
    @abstractmethod
    def usage(self) -> Usage: ...

    @abstractmethod
    def __await__(self) -> Generator[Any, None, Any]:
        """The value; the list of all items where the target is a generator.

        Raises:
            RemoteError: the code raised.
            LimitExceeded, WorkerGone, WorkerProtocolError: as ``Worker.run_code`` does.
        """

    @abstractmethod
    def items(self) -> AsyncIterator[Any]:
        """What a generator yields, as it comes; nothing for any other target."""

    @abstractmethod
    def output(self) -> AsyncIterator[OutputChunk]:
        """Output of the call until its end. The value is awaited afterwards."""

    @abstractmethod
    async def cancel(self) -> None:
        """Stop the call by ending the Worker: code that runs cannot be asked to stop."""
