"""The last lines that a service has printed, for whoever reads them now or as they come."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

_KEPT_LINES = 2000
_LINE_BYTES = 8 * 1024


class Lines:
    """Lines of several streams, in the order of their ends. Long ones are cut into pieces."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._count = 0
        self._rest: dict[str, bytes] = {}
        self._ended = False
        self._news = asyncio.Event()

    def add(self, stream: str, data: bytes) -> None:
        """Take what was printed to ``stream``."""
        *lines, rest = (self._rest.get(stream, b"") + data).split(b"\n")
        if len(rest) > _LINE_BYTES:
            lines.append(rest)
            rest = b""
        self._rest[stream] = rest
        self._keep(lines)

    def flush(self) -> None:
        """Take what has no end of its line as lines: nothing follows."""
        rest, self._rest = self._rest, {}
        self._keep([line for line in rest.values() if line])

    def end(self) -> None:
        """Nothing comes any more."""
        self.flush()
        self._ended = True
        self._tell()

    def last(self, count: int) -> list[str]:
        """The last ``count`` lines."""
        return list(self._lines)[-count:]

    async def read(self, *, follow: bool) -> AsyncIterator[str]:
        """Those that are kept, oldest first; with ``follow`` on until the end."""
        given = self._count - len(self._lines)
        while True:
            first = self._count - len(self._lines)
            for line in list(self._lines)[max(given - first, 0) :]:
                yield line
            given = max(given, first) + len(self._lines) - max(given - first, 0)
            if given < self._count:
                continue
            if not follow or self._ended:
                return
            await self._news.wait()

    def _keep(self, lines: list[bytes]) -> None:
        for line in lines:
            self._lines.append(line[:_LINE_BYTES].decode(errors="replace"))
        self._count += len(lines)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
