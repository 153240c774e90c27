"""Output of a running tool on its way to whoever watches: in small batches, and bounded."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import logging
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Literal

from codin.sandbox.outcome import OutputChunk
from codin.security.secrets import forms, hide
from codin.tool.events import ToolOutput

if TYPE_CHECKING:
    from types import TracebackType

    from codin.security import RunGrant
    from codin.tool.invocation import EventSink

_log = logging.getLogger(__name__)
_Stream = Literal["stdout", "stderr", "progress"]


class LiveOutput:
    """Takes chunks at any rate and hands them on every ``every`` seconds, ``most`` bytes in all.

    Leaving the context hands on what is left. A sink that fails is told of in the log and costs
    the call nothing. ``secrets`` are taken out; those that are added later, from then on.
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
        secrets: Sequence[str] = (),
    ) -> None:
        self._sink = sink
        self._grant = grant
        self._call_id = call_id
        self._name = name
        self._every = every
        self._left = most
        self._secrets = secrets
        self._waiting: list[OutputChunk] = []
        self._decoders: dict[_Stream, codecs.IncrementalDecoder] = {}
        self._held: dict[_Stream, str] = {}
        self._cut = False
        self._open = False
        self._woken: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None

    def emit(self, chunk: OutputChunk) -> None:
        """Take a chunk. Returns at once; what is over the bound is dropped."""
        if self._sink is None or self._cut:
            return
        data = chunk.data[: self._left]
        self._cut = len(data) < len(chunk.data)
        self._left -= len(data)
        self._waiting.append(OutputChunk(chunk.stream, data))
        if self._woken is not None:
            self._woken.set()
        elif self._open:
            # Most calls say nothing while they run, and cost no task.
            self._woken = asyncio.Event()
            self._woken.set()
            self._task = asyncio.create_task(self._flush_regularly(self._woken))

    async def __aenter__(self) -> LiveOutput:
        self._open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open = False
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        if not isinstance(error, asyncio.CancelledError):
            await self._flush(last=True)

    async def _flush_regularly(self, woken: asyncio.Event) -> None:
        while True:
            await woken.wait()
            await asyncio.sleep(self._every)
            woken.clear()
            await self._flush()

    async def _flush(self, *, last: bool = False) -> None:
        chunks, self._waiting = self._waiting, []
        run: list[str] = []
        stream: _Stream = "stdout"
        for chunk in chunks:
            if run and chunk.stream != stream:
                await self._tell(stream, "".join(run))
                run = []
            stream = chunk.stream
            run.append(self._decoder(stream).decode(chunk.data))
        await self._tell(stream, "".join(run))
        if not last:
            return
        for held, text in self._held.items():
            await self._send(held, text)
        if self._cut:
            await self._send("progress", "[more output is not shown]")

    async def _tell(self, stream: _Stream, text: str) -> None:
        """Hand on ``text`` without secrets, and without an end that may become one."""
        if not self._secrets:
            await self._send(stream, text)
            return
        secrets = forms(self._secrets)
        text = hide(self._held.pop(stream, "") + text, secrets)
        end = len(text) - _begun(text, secrets)
        self._held[stream] = text[end:]
        await self._send(stream, text[:end])

    def _decoder(self, stream: _Stream) -> codecs.IncrementalDecoder:
        if stream not in self._decoders:
            self._decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
        return self._decoders[stream]

    async def _send(self, stream: _Stream, text: str) -> None:
        if not text or self._sink is None:
            return
        event = ToolOutput(call_id=self._call_id, name=self._name, stream=stream, text=text)
        try:
            await self._sink(self._grant, event)
        except Exception:
            _log.exception("the output of %s could not be handed on", self._name)


def _begun(text: str, secrets: Collection[str]) -> int:
    """How many characters at the end of ``text`` are the beginning of a secret."""
    most = min(max(map(len, secrets), default=1) - 1, len(text))
    ends = (length for length in range(most, 0, -1))
    return next((n for n in ends if any(one.startswith(text[-n:]) for one in secrets)), 0)
