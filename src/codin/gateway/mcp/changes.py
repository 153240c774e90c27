"""Who wants to hear that the tools which it is shown are others now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from codin.security import Principal
from codin.tool.base import ToolSpec

_log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.3
"""Changes within this time are told of as one."""

Told = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class _Watched:
    """What a principal was shown last, and who wants to hear of anything else."""

    seen: Sequence[ToolSpec]
    told: list[Told] = field(default_factory=list)


class ToolChanges:
    """Tells of changes, to each principal of those alone that it can see.

    Args:
        shown: what a principal is shown now.
        settle_seconds: how long to wait for more changes.
    """

    def __init__(
        self,
        shown: Callable[[Principal], Sequence[ToolSpec]],
        *,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        self._shown = shown
        self._settle_seconds = settle_seconds
        self._watched: dict[Principal, _Watched] = {}
        self._settling: asyncio.TimerHandle | None = None
        self._telling: set[asyncio.Task[None]] = set()

    @contextmanager
    def watched(self, principal: Principal, told: Told) -> Iterator[None]:
        """Until the block is left, ``told`` is called when ``principal`` is shown other tools than
        before. One that fails is told of in the log."""
        watched = self._watched.get(principal)
        if watched is None:
            watched = self._watched[principal] = _Watched(self._shown(principal))
        watched.told.append(told)
        try:
            yield
        finally:
            watched.told.remove(told)
            if not watched.told:
                self._watched.pop(principal, None)

    def changed(self) -> None:
        """Tools have come or gone: whoever is shown others is told soon."""
        if self._watched and self._settling is None:
            loop = asyncio.get_running_loop()
            self._settling = loop.call_later(self._settle_seconds, self._begin)

    async def aclose(self) -> None:
        """Tell nobody any more."""
        self._watched.clear()
        if self._settling is not None:
            self._settling.cancel()
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    def _begin(self) -> None:
        self._settling = None
        telling = asyncio.ensure_future(self._tell())
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _tell(self) -> None:
        for principal, watched in list(self._watched.items()):
            now = self._shown(principal)
            if now != watched.seen:
                watched.seen = now
                for told in list(watched.told):
                    await _told(told)
            await asyncio.sleep(0)  # of thousands of principals each has a list of its own


async def _told(told: Told) -> None:
    try:
        await told()
    except Exception:
        _log.exception("a client could not be told that its tools have changed")
