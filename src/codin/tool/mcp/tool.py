"""A tool of a server of MCP."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter

from codin.errors import CodinError
from codin.sandbox.outcome import OutputChunk
from codin.tool._text import clean
from codin.tool.base import ToolError, ToolFailed, ToolLimits, ToolSpec, ToolTimeout
from codin.tool.invocation import Invocation, RunnableTool
from codin.tool.mcp.connection import Work
from codin.tool.mcp.content import Answer
from codin.tool.mcp.listing import Offer

if TYPE_CHECKING:
    import mcp_types as types
    from mcp.client.session import ClientSession

    from codin.tool.mcp.source import McpSource

T = TypeVar("T")

_ERROR_CHARS = 1_000
_PROGRESS_CHARS = 500


class ServerTool(RunnableTool):
    """Something that is asked of a server, within the limits of the call."""

    def __init__(self, source: McpSource, spec: ToolSpec) -> None:
        self.name = spec.name
        self.spec = spec
        self.source = source

    async def asked(self, call: Invocation, work: Work[T]) -> T:
        """The result of ``work`` at the server of the call.

        Raises:
            ToolTimeout: the server takes longer than the call may; it is told to stop.
            ToolFailed: it refuses, or answers what cannot be read.
            McpUnavailable: it is not there.
        """
        late = asyncio.timeout(call.limits.seconds)

        async def known(session: ClientSession) -> T:
            self._note_secrets(call)
            return await work(session)

        try:
            async with late:
                return await self.source.do(call, known)
        except ToolError:
            raise
        except TimeoutError as error:
            if not late.expired():
                raise ToolFailed(f"{self.name} failed: {error or 'TimeoutError'}") from error
            raise ToolTimeout(
                f"{self.name} took longer than {call.limits.seconds:g} s, and was ended"
            ) from None
        except CodinError:
            raise
        except Exception as error:
            said = clean(str(error), _ERROR_CHARS)
            kind = "" if type(error).__name__ == "MCPError" else f"{type(error).__name__}: "
            raise ToolFailed(f"{self.name} failed: {kind}{said}") from error

    def answer(self, call: Invocation) -> Answer:
        """What makes a value of what the server answers."""

        async def read(uri: str) -> types.ReadResourceResult:
            return await self.asked(call, lambda session: session.read_resource(uri))

        return Answer(self.name, call, read)

    def _note_secrets(self, call: Invocation) -> None:
        """Have the executor take them out of whatever the call gives out."""
        call.secrets += [each for each in self.source.secrets(call) if each not in call.secrets]


class McpTool(ServerTool):
    """Calls one tool of a server. What it says on the way goes out as progress."""

    def __init__(self, source: McpSource, offer: Offer, limits: ToolLimits) -> None:
        self.offer = offer
        spec = ToolSpec(
            name=offer.name,
            description=offer.description,
            input_schema=offer.input_schema,
            output_schema=offer.output_schema,
            origin="mcp",
            effects=offer.effects,
            limits=limits,
            tags=(source.name,),
        )
        super().__init__(source, spec)

    async def run(self, call: Invocation) -> Any:
        """Call it, and give what it answers."""
        self.source.check(self.offer)

        async def progress(done: float, total: float | None, message: str | None) -> None:
            count = f"{done:g}" if total is None else f"{done:g}/{total:g}"
            said = clean(message or "", _PROGRESS_CHARS)
            line = f"{count} {said}".rstrip() + "\n"
            call.emit(OutputChunk("progress", line.encode()))

        async def work(session: ClientSession) -> types.CallToolResult:
            return await _called(session, self.offer.theirs, call.arguments, progress)

        result = await self.asked(call, work)
        return await self.answer(call).of_tool(result)


@cache
def _answers() -> TypeAdapter[types.CallToolResult | types.InputRequiredResult]:
    import mcp_types as types

    return TypeAdapter(types.CallToolResult | types.InputRequiredResult)


async def _called(
    session: ClientSession, name: str, arguments: dict[str, Any], progress: Any
) -> types.CallToolResult:
    """The result of the call, not validated: a server's schema of its own answers binds nobody, and
    checking it would run the server's patterns over the server's texts."""
    import mcp_types as types

    request = types.CallToolRequest(
        params=types.CallToolRequestParams(name=name, arguments=arguments)
    )
    result = await session.send_request(request, _answers(), progress_callback=progress)
    if isinstance(result, types.CallToolResult):
        return result
    raise ToolFailed(
        f"{name} asks for something on its way (input, a model, or folders), which is not given "
        "to tools: call it with all that it needs"
    )
