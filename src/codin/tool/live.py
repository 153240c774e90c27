"""Output of a running tool on its way to whoever watches: in small batches, and bounded."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import logging
from typing import TYPE_CHECKING, Literal

from codin.sandbox.outcome import OutputChunk
from codin.tool.events import ToolOutput

if TYPE_CHECKING:
    from types import TracebackType

    from codin.security import RunGrant
    from codin.tool.invocation import EventSink

_log = logging.getLogger(__name__)
_Stream = Literal["stdout", "stderr"]


class LiveOutput:
    """Takes chunks at any rate and hands them on every ``every`` seconds, ``most`` bytes in all.

    Leaving the context hands on what is left. A sink that fails is told of in the log and costs
    the call nothing.
    """

    def __init__(
        self,
        sink: EventSink | None,
        grant: RunGrant,
        call_id: str,
        name: str,
        *,
        every: float = 0.1,
        most: int = 64 * 1024,
    ) -> None:
        self._sink = sink
        self._grant = grant
        self._call_id = call_id
        self._name = name
        self._every = every
        self._left = most
        self._waiting: list[OutputChunk] = []
        self._decoders = {
            stream: codecs.getincrementaldecoder("utf-8")("replace")
            for stream in ("stdout", "stderr")
        }
        self._cut = False
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def emit(self, chunk: OutputChunk) -> None:
        """Take a chunk. Returns at once; what is over the bound is dropped."""
        if self._sink is None or self._cut:
            return
        data = chunk.data[: self._left]
        self._cut = len(data) < len(chunk.data)
        self._left -= len(data)
        self._waiting.append(OutputChunk(chunk.stream, data))
        self._woken.set()

    async def __aenter__(self) -> LiveOutput:
        if self._sink is not None:
            self._task = asyncio.create_task(self._flush_regularly())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        if not isinstance(error, asyncio.CancelledError):
            await self._flush(last=True)

    async def _flush_regularly(self) -> None:
        while True:
            await self._woken.wait()
            await asyncio.sleep(self._every)
            self._woken.clear()
            await self._flush()

    async def _flush(self, *, last: bool = False) -> None:
        chunks, self._waiting = self._waiting, []
        run: list[str] = []
        stream: _Stream = "stdout"
        for chunk in chunks:
            if run and chunk.stream != stream:
                await self._send(stream, "".join(run))
                run = []
            stream = chunk.stream
            run.append(self._decoders[stream].decode(chunk.data))
        await self._send(stream, "".join(run))
        if last and self._cut:
            await self._send("progress", "[more output is not shown]")

    async def _send(self, stream: Literal["stdout", "stderr", "progress"], text: str) -> None:
        if not text or self._sink is None:
            return
        event = ToolOutput(call_id=self._call_id, name=self._name, stream=stream, text=text)
        try:
            await self._sink(self._grant, event)
        except Exception:
            _log.exception("the output of %s could not be handed on", self._name)
