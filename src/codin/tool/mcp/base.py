"""How a server of MCP is reached."""

from __future__ import annotations

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from codin.sandbox.base import Mount

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

MOST_BYTES = 16 * 1024 * 1024
"""What one message of a server may have."""


class Link(ABC):
    """One connection. ``secrets`` are what lets it in: they are taken out of what comes back."""

    def __init__(self) -> None:
        self.secrets: tuple[str, ...] = ()
        self.why = ""
        """What is known of why it ended, or of what it refused last; empty while nothing is."""
        self.mark = secrets.token_hex(16)
        """In the data of errors that are ours and not the server's: it was not reached."""
        self.gone = asyncio.Event()
        """Set when it has ended by itself, and to have it end."""

    @asynccontextmanager
    async def prepared(self) -> AsyncIterator[None]:
        """Around all of it: what may take long before the server is asked anything, such as
        packages that it needs."""
        yield

    @abstractmethod
    def streams(self) -> AbstractAsyncContextManager[TransportStreams]:
        """The messages of the server and those to it, until the block is left. Once.

        Nothing of it runs any more when the block has been left.
        """


class Endpoint(ABC):
    """Where a server is. Every connection is a ``Link`` of its own."""

    @abstractmethod
    def link(self, workspace: Path | None = None, mounts: Sequence[Mount] = ()) -> Link:
        """A connection that is not made yet; a server that runs in a sandbox has ``workspace`` and
        ``mounts`` in it."""
