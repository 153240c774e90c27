"""All that a server of MCP offers, as tools."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Literal, TypeVar

from codin.errors import CodinError
from codin.tool._text import clean
from codin.tool.base import ToolFailed, ToolLimits, ToolSpec
from codin.tool.invocation import Invocation, RunnableTool
from codin.tool.mcp.base import Endpoint
from codin.tool.mcp.connection import Work
from codin.tool.mcp.errors import McpUnavailable, McpUnusable
from codin.tool.mcp.listing import SCHEMA_CHARS, Listing, Offer, Wanted, read_listing
from codin.tool.mcp.pool import ServerPool
from codin.tool.mcp.resources import GetPrompt, ListResources, ReadResource
from codin.tool.mcp.tool import McpTool
from codin.tool.source import Changed, ToolSource

T = TypeVar("T")

_log = logging.getLogger(__name__)

_MOST_SHOWN = 20
_MOST_AGAIN_SECONDS = 600.0

Per = Literal["platform", "goal"]
"""Who shares a server: all, or those of one goal, with whose workspace it then runs."""


class McpSource(ToolSource):
    """The tools, resources and prompts of the server at ``endpoint``.

    A tool that cannot be used is left out and named in ``problems``, never the server. So is one
    that the server describes otherwise than when it was first seen: whoever let it in has not seen
    what it is now. ``accept_changes`` takes it as it is; it is named all the same.

    Args:
        name: the namespace; it stands before the names of its tools.
        tools: patterns of the tools that are taken, by their names there; without any, all are.
        per: who shares a server, where it runs in a sandbox.
        seconds: how long a call may take.
        attempts: how often a call of a tool that may be repeated is tried: one that has ended is
            there again for the second.
        start_seconds: how long the server may take to become ready.
        schema_chars: characters that the schema of one tool may have.
        again_seconds: after this, and then ever later, one is looked for that was not there.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        *,
        tools: Sequence[str] = (),
        per: Per = "platform",
        seconds: float = 60.0,
        attempts: int = 1,
        start_seconds: float = 30.0,
        schema_chars: int = SCHEMA_CHARS,
        accept_changes: bool = False,
        again_seconds: float = 30.0,
        pool: ServerPool | None = None,
    ) -> None:
        self.name = name
        self.problems: list[str] = []
        self._wanted = Wanted(name, tuple(tools), schema_chars)
        self._per = per
        self._limits = ToolLimits(seconds=seconds, attempts=attempts)
        self._accept = accept_changes
        self._pool = pool or ServerPool(
            name, endpoint, start_seconds=start_seconds, changed=self._look_again
        )
        self._seen: dict[str, str] = {}
        self._marks: dict[str, str] = {}
        self._again_seconds = again_seconds
        self._later: asyncio.Task[None] | None = None
        self._closed = False
        self._offered: list[ToolSpec] = []
        self._changed: Changed | None = None

    @property
    def protocol(self) -> str:
        """The revision of the protocol that was agreed on, such as ``"2026-07-28"``."""
        return self._pool.protocol

    async def open(self) -> Sequence[RunnableTool]:
        try:
            return await self._opened()
        except McpUnavailable:
            if self._closed:
                raise
            self._later = asyncio.create_task(self._come_later(), name=f"mcp {self.name} later")
            raise

    async def _opened(self) -> list[RunnableTool]:
        tools = self._tools(await self._listing())
        if not tools:
            problem = self.problems[0] if self.problems else "it offers nothing"
            raise McpUnusable(f"nothing of the MCP server '{self.name}' can be used: {problem}")
        return tools

    async def aclose(self) -> None:
        self._closed = True
        if self._later is not None:
            self._later.cancel()
            await asyncio.wait([self._later])
        await self._pool.aclose()

    def listen(self, changed: Changed) -> None:
        self._changed = changed

    async def do(self, call: Invocation, work: Work[T]) -> T:
        """The result of ``work`` at the server of ``call``.

        Raises:
            McpUnavailable: it is not there.
        """
        if self._per == "platform":
            return await self._pool.do(work)
        workspaces, grant = call.sandboxes.workspaces, call.grant
        folder = await workspaces.folder(grant.principal, grant.goal_id)
        mounts = workspaces.mounts
        return await self._pool.do(work, key=self._key(call), workspace=folder, mounts=mounts)

    def secrets(self, call: Invocation) -> tuple[str, ...]:
        """What let in the connection of ``call``."""
        return self._pool.secrets(self._key(call))

    def check(self, offer: Offer) -> None:
        """Return when ``offer`` is still what the server offers.

        Raises:
            ToolFailed: it is not; nothing is called that nobody has seen.
        """
        if self._marks.get(offer.name) != offer.mark:
            raise ToolFailed(
                f"{offer.name} is not offered any more as it was when it was let in: the MCP server"
                f" '{self.name}' has changed or withdrawn it"
            )

    def _key(self, call: Invocation) -> tuple[str, ...]:
        if self._per == "platform":
            return ()
        principal = call.grant.principal
        return principal.tenant, principal.subject, call.grant.goal_id

    async def _listing(self) -> Listing:
        try:
            return await self._pool.do(lambda session: read_listing(session, self._wanted))
        except CodinError:
            raise
        except Exception as error:
            told = clean(f"{type(error).__name__}: {error}", 400)
            raise McpUnusable(
                f"what the MCP server '{self.name}' offers cannot be read: {told}"
            ) from error

    async def _come_later(self) -> None:
        """A server that was not there may come: then whoever listens is given its tools."""
        from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential

        trying = AsyncRetrying(
            retry=retry_if_exception_type(McpUnavailable),
            wait=wait_exponential(multiplier=self._again_seconds, max=_MOST_AGAIN_SECONDS),
        )
        await asyncio.sleep(self._again_seconds)
        try:
            tools: list[RunnableTool] = await trying(self._opened)
        except CodinError as error:
            _log.warning("%s", error)
            return
        if self._changed is not None:
            await self._changed(tools)

    async def _look_again(self) -> None:
        """What is offered may have changed: have whoever listens know."""
        if not self._offered:
            return  # the first look is under way
        before = self._offered
        tools = self._tools(await self._listing())
        if self._offered == before:
            return
        for problem in self.problems:
            _log.warning("%s", problem)
        if self._changed is not None:
            await self._changed(tools)

    def _tools(self, listing: Listing) -> list[RunnableTool]:
        kept, changed = self._trusted(listing.offers)
        told = [*changed, *listing.problems]
        self.problems = [f"{self.name}: {one}" for one in told[:_MOST_SHOWN]]
        if len(told) > _MOST_SHOWN:
            more = len(told) - _MOST_SHOWN
            self.problems.append(f"{self.name}: and {more} more tools cannot be used")
        self._marks = {offer.name: offer.mark for offer in kept}
        tools: list[RunnableTool] = [McpTool(self, offer, self._limits) for offer in kept]
        tools += [one for one in self._resources(listing) if one.name not in self._marks]
        self._offered = [tool.spec for tool in tools]
        return tools

    def _trusted(self, offers: Sequence[Offer]) -> tuple[list[Offer], list[str]]:
        """Those that are what they were when they were first seen, and what is said of others."""
        kept: list[Offer] = []
        changed: list[str] = []
        for offer in offers:
            first = self._seen.setdefault(offer.name, offer.mark)
            if first == offer.mark:
                kept.append(offer)
                continue
            told = f"its tool {clean(offer.theirs, 80)!r} is described otherwise than at first"
            if self._accept:
                kept.append(offer)
                changed.append(f"{told}, which was accepted")
            else:
                changed.append(f"{told} and is left out: look at it, and start anew to let it in")
        return kept, changed

    def _resources(self, listing: Listing) -> list[RunnableTool]:
        tools: list[RunnableTool] = []
        if listing.resources:
            tools += [ListResources(self, self._limits), ReadResource(self, self._limits)]
        if listing.prompts:
            tools.append(GetPrompt(self, listing.prompts, self._limits))
        return tools
