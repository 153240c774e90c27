"""The connections to one server: kept, made again, and given up."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from codin.sandbox.base import Mount
from codin.tool.mcp.base import Endpoint
from codin.tool.mcp.connection import Connection, Work
from codin.tool.mcp.errors import McpUnavailable

T = TypeVar("T")

_DEATHS = 3
_WITHIN_SECONDS = 60.0
_IDLE_SECONDS = 120.0
_MOST_OPEN = 32


class ServerPool:
    """Connections to the server at ``endpoint``, one for each key: made when it is first used, and
    again when it has ended.

    A server that ends three times within a minute is left alone until the minute is over. Those of
    other keys than the first are closed when nobody has used them for a while.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        *,
        start_seconds: float,
        changed: Callable[[], Awaitable[None]] | None = None,
        idle_seconds: float = _IDLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._endpoint = endpoint
        self._start_seconds = start_seconds
        self._changed = changed
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._deaths: dict[tuple[str, ...], _Deaths] = {}
        self._places: dict[tuple[str, ...], _Place] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def protocol(self) -> str:
        """The revision of the protocol that the platform's own connection speaks."""
        place = self._places.get(())
        return "" if place is None else place.connection.protocol

    async def do(
        self,
        work: Work[T],
        *,
        key: tuple[str, ...] = (),
        workspace: Path | None = None,
        mounts: Sequence[Mount] = (),
    ) -> T:
        """The result of ``work`` on the connection of ``key``.

        Raises:
            McpUnavailable: there is none to be had, or it ended before the work was done.
        """
        place = self._place(key, workspace, mounts)
        place.users += 1
        try:
            return await place.connection.do(work)
        finally:
            place.users -= 1
            if key and not place.users:
                self._close_later(key, place)

    async def aclose(self) -> None:
        """End all connections."""
        self._closed = True
        places, self._places = list(self._places.values()), {}
        for place in places:
            place.stop_timer()
        await asyncio.gather(*(place.connection.aclose() for place in places), *self._ending)

    def secrets(self, key: tuple[str, ...] = ()) -> tuple[str, ...]:
        """What let the connection of ``key`` in."""
        place = self._places.get(key)
        return () if place is None else place.connection.link.secrets

    def _place(
        self, key: tuple[str, ...], workspace: Path | None, mounts: Sequence[Mount]
    ) -> _Place:
        place = self._places.get(key)
        if place is not None and not place.connection.ended:
            place.stop_timer()
            return place
        self._admit(key)
        again = place is not None
        link = self._endpoint.link(workspace, mounts)
        connection = Connection(
            self.name,
            link,
            seconds=self._start_seconds,
            changed=None if key else self._changed,
        )
        place = self._places[key] = _Place(connection)
        deaths = self._deaths.setdefault(key, _Deaths())
        connection.begin(lambda ended: self._ended(ended, deaths))
        if again:
            connection.look_again()
        return place

    def _admit(self, key: tuple[str, ...]) -> None:
        """Return when a connection may be made now.

        Raises:
            McpUnavailable: it may not, or not yet.
        """
        if self._closed:
            raise McpUnavailable(f"the MCP server '{self.name}' is closed")
        deaths = self._deaths.get(key)
        rest = deaths.rest(self._clock()) if deaths is not None else 0.0
        if deaths is not None and rest > 0:
            raise McpUnavailable(
                f"the MCP server '{self.name}' ended {_DEATHS} times within a minute and is left "
                f"alone for {rest:.0f} s: {deaths.why}"
            )
        if key and key not in self._places and len(self._places) >= _MOST_OPEN:
            raise McpUnavailable(
                f"the MCP server '{self.name}' runs {_MOST_OPEN} times already: try again later"
            )

    def _ended(self, connection: Connection, deaths: _Deaths) -> None:
        if not connection.closed:
            deaths.add(connection, self._clock())

    def _close_later(self, key: tuple[str, ...], place: _Place) -> None:
        place.stop_timer()
        loop = asyncio.get_running_loop()
        place.timer = loop.call_later(self._idle_seconds, self._close, key, place)

    def _close(self, key: tuple[str, ...], place: _Place) -> None:
        if place.users or self._places.get(key) is not place:
            return
        del self._places[key]
        self._deaths.pop(key, None)
        ending = asyncio.ensure_future(place.connection.aclose())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)


class _Deaths:
    """When the connections of one key ended by themselves, the newest ones."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_DEATHS)
        self._last: Connection | None = None

    def add(self, connection: Connection, now: float) -> None:
        self._times.append(now)
        self._last = connection

    def rest(self, now: float) -> float:
        """Seconds for which none is made."""
        if len(self._times) < _DEATHS:
            return 0.0
        return max(self._times[0] + _WITHIN_SECONDS - now, 0.0)

    @property
    def why(self) -> str:
        """Why the last one ended."""
        return self._last.why if self._last is not None else ""


class _Place:
    """A connection, and who uses it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.users = 0
        self.timer: asyncio.TimerHandle | None = None

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
