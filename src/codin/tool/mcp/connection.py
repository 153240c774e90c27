"""One connection to a server, and the one task that owns it."""

from __future__ import annotations

import asyncio
import importlib
import logging
from asyncio import Future
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, TypeVar

import anyio

from codin.errors import CodinError
from codin.security.secrets import hide
from codin.tool._text import clean
from codin.tool.mcp.base import Link
from codin.tool.mcp.errors import McpUnavailable

if TYPE_CHECKING:
    from anyio.abc import TaskGroup
    from mcp.client.client import Client
    from mcp.client.session import ClientSession, IncomingMessage

_log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[["ClientSession"], Awaitable[T]]
"""What is done on a connection; it may be cancelled, and then the server is told."""

_SETTLE_SECONDS = 0.3
_LISTEN_AGAIN_SECONDS = 30.0
_WHY_CHARS = 900


class Connection:
    """A server that is connected to, from ``begin`` until it ends or ``aclose``.

    The SDK's scopes around it are entered and left by one task: however a caller of ``do`` ends,
    nothing of the connection is torn.

    Args:
        name: of the server, for what is said of it.
        link: the way to it; it is used up.
        seconds: how long it may take to become ready.
        changed: called when the server says that what it offers is something else now.
    """

    def __init__(
        self,
        name: str,
        link: Link,
        *,
        seconds: float,
        changed: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.name = name
        self.link = link
        self.protocol = ""
        self._seconds = seconds
        self._changed = changed
        self._changes = asyncio.Event()
        self._closed = False
        self._ready: Future[None] = asyncio.get_running_loop().create_future()
        self._client: Client | None = None
        self._tasks: TaskGroup | None = None
        self._owner: asyncio.Task[None] | None = None
        self._done: Callable[[Connection], None] | None = None
        self._why = ""

    def begin(self, done: Callable[[Connection], None]) -> None:
        """Connect. ``done`` is told, once, when it has ended."""
        self._done = done
        self._owner = asyncio.create_task(self._own(), name=f"mcp {self.name}")
        self._owner.add_done_callback(lambda _: self._tell_end())

    @property
    def ended(self) -> bool:
        """Whether it is over, or about to be."""
        return self.link.gone.is_set() or (self._owner is not None and self._owner.done())

    @property
    def closed(self) -> bool:
        """Whether it was closed by us, and did not end by itself."""
        return self._closed

    @property
    def why(self) -> str:
        """Why it ended, in words."""
        return hide(self._why or self.link.why or "it ended", self.link.secrets)

    async def ready(self) -> Client:
        """The client, once the server is ready.

        Raises:
            McpUnavailable: it cannot be reached, or does not become ready.
        """
        await asyncio.shield(self._ready)
        assert self._client is not None
        return self._client

    async def do(self, work: Work[T]) -> T:
        """The result of ``work``, which is done in the caller's own task. What a caller that is
        cancelled waited for is cancelled at the server: that is said without waiting for it, or for
        five seconds where the server takes nothing any more.

        Raises:
            McpUnavailable: the connection ended before the work was done.
        """
        client = await self.ready()
        if self._tasks is None:
            raise self.unavailable()
        try:
            return await work(client.session)
        except Exception as error:
            told = self._told(error)
            if told is error:
                raise
            raise told from error

    def look_again(self) -> None:
        """What the server offers may be something else now."""
        self._changes.set()

    async def aclose(self) -> None:
        """End it. Safe to call twice."""
        self._closed = True
        self.link.gone.set()
        if self._owner is not None:
            if not self._ready.done():
                self._owner.cancel()  # nothing that takes long now is waited for
            await asyncio.wait([self._owner])

    def unavailable(self) -> McpUnavailable:
        """The error of whoever wants something of it after its end."""
        return McpUnavailable(
            f"the MCP server '{self.name}' is gone: {self.why}. The next call connects again."
        )

    async def _own(self) -> None:
        try:
            # A second's work, and the loop's others go on meanwhile.
            await asyncio.to_thread(importlib.import_module, "mcp.client.client")
            await self._live()
        except Exception as error:
            self._why = self._why or _reason(error)
        finally:
            self._tasks = None
            if not self._ready.done():
                self._ready.set_exception(self._never_ready())
                self._ready.exception()  # told to whoever waits; nobody has to

    async def _live(self) -> None:
        from mcp.client.client import Client

        client = Client(self.link.streams(), message_handler=self._heard, cache=None)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.link.prepared())
            try:
                async with asyncio.timeout(self._seconds) as opening:
                    await stack.enter_async_context(client)
            except TimeoutError:
                if opening.expired():
                    self._why = f"it did not become ready in {self._seconds:g} s (start_seconds)"
                raise
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            self._client, self.protocol = client, client.protocol_version
            self._tasks.start_soon(self._listen, client)
            self._tasks.start_soon(self._tell_changes)
            self._ready.set_result(None)
            await self.link.gone.wait()
            self._tell_end()
            self._tasks.cancel_scope.cancel()
            self._tasks = None

    def _told(self, error: Exception) -> Exception:
        """``error``, or that the server is not there."""
        if self.link.gone.is_set():
            return self.unavailable()
        if getattr(error, "data", None) == self.link.mark:
            why = hide(clean(str(error), _WHY_CHARS), self.link.secrets)
            return McpUnavailable(f"the MCP server '{self.name}' cannot be reached: {why}")
        return error

    async def _heard(self, message: IncomingMessage) -> None:
        """Notices of servers of the revisions before 2026-07-28."""
        import mcp_types as types

        changes = (
            types.ToolListChangedNotification,
            types.PromptListChangedNotification,
            types.ResourceListChangedNotification,
        )
        if isinstance(message, changes):
            self.look_again()

    async def _listen(self, client: Client) -> None:
        """Ask a server of the revision 2026-07-28 to tell of changes, for as long as it lives."""
        from mcp.client.subscriptions import SubscriptionLost
        from mcp.shared.exceptions import MCPError
        from mcp_types.version import MODERN_PROTOCOL_VERSIONS

        offered = client.server_capabilities
        tools = bool(offered.tools and offered.tools.list_changed)
        prompts = bool(offered.prompts and offered.prompts.list_changed)
        resources = bool(offered.resources and offered.resources.list_changed)
        modern = self.protocol in MODERN_PROTOCOL_VERSIONS
        if self._changed is None or not modern or not (tools or prompts or resources):
            return
        while True:
            try:
                async with client.listen(
                    tools_list_changed=tools,
                    prompts_list_changed=prompts,
                    resources_list_changed=resources,
                ) as changes:
                    async for _ in changes:
                        self.look_again()
            except (MCPError, SubscriptionLost, TimeoutError) as error:
                _log.debug("the MCP server %s tells of no changes: %s", self.name, error)
            await asyncio.sleep(_LISTEN_AGAIN_SECONDS)
            self.look_again()

    async def _tell_changes(self) -> None:
        while self._changed is not None:
            await self._changes.wait()
            await asyncio.sleep(_SETTLE_SECONDS)  # many notices are one change
            self._changes.clear()
            try:
                await self._changed()
            except Exception as error:
                _log.warning("what MCP server %s offers now is not known: %s", self.name, error)

    def _tell_end(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(self)

    def _never_ready(self) -> McpUnavailable:
        known = [self._why, self.link.why]
        why = " - ".join(dict.fromkeys(each for each in known if each)) or "it ended"
        told = hide(why, self.link.secrets)
        return McpUnavailable(f"the MCP server '{self.name}' cannot be used: {told}")


def _reason(error: BaseException) -> str:
    """What a group of errors comes from, in words."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, anyio.ClosedResourceError | anyio.BrokenResourceError):
        return ""  # it has ended: the link says how
    said = clean(str(error), _WHY_CHARS)
    plain = isinstance(error, CodinError) or type(error).__name__ == "MCPError"
    return said if plain else f"{type(error).__name__}: {said}"
