"""A server that speaks over its standard input and output, in a sandbox."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from codin.sandbox.base import MIB, Limits, Mount, Process, Sandbox, SandboxProvider, SandboxSpec
from codin.sandbox.errors import SandboxError
from codin.security.secrets import SecretRef, hide, read_secrets
from codin.tool._text import clean
from codin.tool.mcp.base import MOST_BYTES, Endpoint, Link

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.client._transport import TransportStreams
    from mcp.shared.message import SessionMessage

SERVER_LIMITS = Limits(
    memory_bytes=1024 * MIB, processes=128, wall_seconds=None, output_bytes=None, network=()
)
"""What a server may use when nothing else is said: no network, and as long as it likes. An empty
list, and not ``"none"``, so that what is refused says what to do about it."""

_END_SECONDS = 1.0
_MOST_GARBAGE = 1_000
_MOST_A_SECOND = 2_000
_INLINE_BYTES = 256 * 1024
_WAITING = 16
_WORDS_BYTES = 4_096
_WORDS_SHOWN = 600


@dataclass(frozen=True, slots=True)
class SandboxedServer(Endpoint):
    """The server that ``command`` starts in a sandbox of ``provider``: it sees its workspace, its
    ``mounts`` and the packages ``requirements``, and of the environment only ``env``."""

    provider: SandboxProvider
    command: tuple[str, ...]
    name: str = "mcp"
    requirements: tuple[str, ...] = ()
    env: Mapping[str, str | SecretRef] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    limits: Limits = SERVER_LIMITS

    def link(self, workspace: Path | None = None, mounts: Sequence[Mount] = ()) -> Link:
        return _StdioLink(replace(self, mounts=(*self.mounts, *mounts)), workspace)


class _StdioLink(Link):
    def __init__(self, server: SandboxedServer, workspace: Path | None) -> None:
        super().__init__()
        self._server = server
        self._workspace = workspace
        self._words = b""
        self._sandbox: Sandbox | None = None

    @asynccontextmanager
    async def prepared(self) -> AsyncIterator[None]:
        env, self.secrets = await read_secrets(self._server.env)
        spec = SandboxSpec(
            limits=self._server.limits,
            workspace=self._workspace,
            mounts=self._server.mounts,
            env=env,
            requirements=self._server.requirements,
            name=f"mcp {self._server.name}",
        )
        sandbox = await self._server.provider.create(spec)
        self._sandbox = sandbox
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await sandbox.kill()
            self._explain_refusals(sandbox)

    @asynccontextmanager
    async def streams(self) -> AsyncIterator[TransportStreams]:
        assert self._sandbox is not None, "it is prepared"
        process = await self._sandbox.start(self._server.command, stdin=True)
        async with _Pipes(self, process).opened() as streams:
            yield streams

    def said(self, data: bytes) -> None:
        """Keep the end of what the server writes to its standard error."""
        self._words = (self._words + data)[-_WORDS_BYTES:]

    def ended(self, how: str) -> None:
        """Note how it ended, with its last words."""
        words = hide(self._words.decode("utf-8", "replace"), self.secrets)
        tail = clean(words[-_WORDS_SHOWN:], _WORDS_SHOWN)
        self.why = self.why or (f"{how}: {tail}" if tail else how)
        self.gone.set()

    def _explain_refusals(self, sandbox: Sandbox) -> None:
        if sandbox.refusals and self.why:
            refused = ", ".join(str(each) for each in sandbox.refusals[:3])
            self.why = f"{self.why} (its sandbox refused: {refused})"


class _Pipes:
    """The standard streams of a process as the SDK's streams of messages."""

    def __init__(self, link: _StdioLink, process: Process) -> None:
        from mcp.shared.message import SessionMessage

        self._link = link
        self._process = process
        self._over = asyncio.Event()
        self._pace = _Pace(_MOST_A_SECOND)
        come = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        # A server that reads nothing keeps nobody who only says that a call is over.
        go = anyio.create_memory_object_stream[SessionMessage](_WAITING)
        self._coming, self._read = come
        self._written, self._going = go

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[TransportStreams]:
        """The streams, until the block is left; then the process has ended."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._receive, self._coming)
            tasks.start_soon(self._send, self._going)
            tasks.start_soon(self._let_go)
            try:
                yield self._read, self._written
            finally:
                with anyio.CancelScope(shield=True):
                    self._read.close()
                    self._written.close()
                    await self._end()
                tasks.cancel_scope.cancel()
                for stream in (self._coming, self._going):
                    stream.close()

    async def _let_go(self) -> None:
        """At the end nobody waits for a server that does not read."""
        await self._link.gone.wait()
        self._going.close()

    async def _end(self) -> None:
        """Close its input, as the protocol has it, and leave it a moment to end by itself."""
        with anyio.move_on_after(_END_SECONDS):
            await self._process.close_stdin()
            await self._over.wait()
        await self._process.kill()

    async def _send(self, going: MemoryObjectReceiveStream[SessionMessage]) -> None:
        with contextlib.suppress(SandboxError):  # its end is told by whoever reads
            async for message in going:
                line = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                await self._process.write(line.encode() + b"\n")

    async def _receive(self, coming: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        how = "it ended"
        try:
            how = await self._read_all(coming)
        except SandboxError as error:
            how = str(error)
        finally:
            self._link.ended(how)
            self._over.set()
            coming.close()

    async def _read_all(self, coming: MemoryObjectSendStream[SessionMessage | Exception]) -> str:
        """Hand on what comes until it ends; how it did."""
        lines = _Lines()
        garbage = 0
        async for chunk in self._process.output():
            if chunk.stream == "stderr":
                self._link.said(chunk.data)
                continue
            for line in lines.of(chunk.data):
                message = await _message(line)
                if message is None:
                    garbage += 1
                    if garbage > _MOST_GARBAGE:
                        return "it writes what is no MCP to its standard output"
                    continue
                await self._pace.kept()
                # When nobody listens any more, what is left is read so that it can end.
                with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                    await coming.send(message)
            if lines.waiting > MOST_BYTES:
                return f"it sent a message of more than {MOST_BYTES:,} bytes"
        code = (await self._process.wait()).exit_code
        return f"it ended with exit code {code}"


class _Lines:
    """Lines out of pieces."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.waiting = 0

    def of(self, data: bytes) -> Iterator[bytes]:
        """The lines that ``data`` completes."""
        *whole, rest = data.split(b"\n")
        for end in whole:
            yield b"".join([*self._pieces, end])
            self._pieces, self.waiting = [], 0
        if rest:
            self._pieces.append(rest)
            self.waiting += len(rest)


class _Pace:
    """Has whoever brings more than ``most`` in a second wait for the next."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._count = 0

    async def kept(self) -> None:
        now = self._loop.time()
        if now - self._since >= 1:
            self._since, self._count = now, 0
        self._count += 1
        if self._count > self._most:
            await asyncio.sleep(self._since + 1 - now)


async def _message(line: bytes) -> SessionMessage | None:
    """The message in ``line``; none when it is no JSON-RPC."""
    from mcp.shared.message import SessionMessage
    from mcp_types import jsonrpc_message_adapter as adapter

    try:
        if len(line) > _INLINE_BYTES:
            message = await asyncio.to_thread(adapter.validate_json, line, by_name=False)
        else:
            message = adapter.validate_json(line, by_name=False)
    except ValueError:
        return None
    return SessionMessage(message)
