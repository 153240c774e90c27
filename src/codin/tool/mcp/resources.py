"""Resources and prompts of a server of MCP, as tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codin.tool._text import clean
from codin.tool.base import InvalidArguments, ToolLimits, ToolSpec
from codin.tool.invocation import Invocation
from codin.tool.mcp.listing import Prompt
from codin.tool.mcp.tool import ServerTool

if TYPE_CHECKING:
    from mcp.client.session import ClientSession

    from codin.tool.mcp.source import McpSource

LIST_RESOURCES = "list_resources"
READ_RESOURCE = "read_resource"
GET_PROMPT = "get_prompt"

_MOST_RESOURCES = 200
_MOST_PROMPTS = 40


class ListResources(ServerTool):
    """Says which resources a server has."""

    def __init__(self, source: McpSource, limits: ToolLimits) -> None:
        about = (
            f"List the resources of the MCP server {source.name}: their addresses (uri), names and "
            f"kinds. Read one with {source.name}_{READ_RESOURCE}."
        )
        schema = _object({"cursor": {"type": "string", "description": "`next` of the last answer"}})
        super().__init__(source, _spec(source, LIST_RESOURCES, about, schema, limits))

    async def run(self, call: Invocation) -> Any:
        """A page of resources, and the templates of addresses with the first."""
        return await self.asked(call, lambda session: _resources(session, call))


class ReadResource(ServerTool):
    """Reads one resource of a server."""

    def __init__(self, source: McpSource, limits: ToolLimits) -> None:
        about = (
            f"Read a resource of the MCP server {source.name}. What is no text is given as a file "
            "of the workspace."
        )
        uri = {"type": "string", "description": f"as {source.name}_{LIST_RESOURCES} gives it"}
        schema = _object({"uri": uri}, "uri")
        super().__init__(source, _spec(source, READ_RESOURCE, about, schema, limits))

    async def run(self, call: Invocation) -> Any:
        """Read it."""
        uri = str(call.arguments["uri"])
        result = await self.asked(call, lambda session: session.read_resource(uri))
        return await self.answer(call).of_resource(result)


class GetPrompt(ServerTool):
    """Gives a prompt of a server, filled in."""

    def __init__(self, source: McpSource, prompts: tuple[Prompt, ...], limits: ToolLimits) -> None:
        self.prompts = {each.name: each for each in prompts[:_MOST_PROMPTS]}
        told = "; ".join(_told(each) for each in self.prompts.values())
        about = (
            f"Get the messages of a prompt of the MCP server {source.name}, filled in with "
            f"arguments. The prompts: {told}"
        )
        schema = _object(
            {
                "name": {"type": "string", "enum": list(self.prompts)},
                "arguments": {"type": "object", "additionalProperties": {"type": "string"}},
            },
            "name",
        )
        spec = _spec(source, GET_PROMPT, clean(about, 4_000), schema, limits)
        super().__init__(source, spec)

    async def run(self, call: Invocation) -> Any:
        """Get it."""
        name = str(call.arguments["name"])
        given = {key: str(value) for key, value in call.arguments.get("arguments", {}).items()}
        missing = [each for each in self.prompts[name].needed if each not in given]
        if missing:
            raise InvalidArguments(
                f"{self.name}: the prompt {name!r} needs '{missing[0]}' in its arguments"
            )
        result = await self.asked(call, lambda session: session.get_prompt(name, given))
        return await self.answer(call).of_prompt(result)


async def _resources(session: ClientSession, call: Invocation) -> dict[str, Any]:
    import mcp_types as types
    from mcp.shared.exceptions import MCPError

    cursor = call.arguments.get("cursor")
    page = await session.list_resources(
        params=types.PaginatedRequestParams(cursor=cursor) if cursor else None
    )
    answer: dict[str, Any] = {
        "resources": [_about(one, one.uri) for one in page.resources[:_MOST_RESOURCES]]
    }
    if page.next_cursor:
        answer["next"] = page.next_cursor
    if not cursor:
        try:
            templates = (await session.list_resource_templates()).resource_templates
        except MCPError:
            templates = []  # a server need not have any
        if templates:
            answer["templates"] = [
                _about(one, one.uri_template) for one in templates[:_MOST_RESOURCES]
            ]
    return answer


def _about(one: Any, uri: str) -> dict[str, str]:
    about = {
        "uri": clean(uri, 2_000),
        "name": clean(one.name, 200),
        "description": clean(one.description or "", 300),
        "media_type": clean(one.mime_type or "", 100),
    }
    return {key: value for key, value in about.items() if value}


def _told(prompt: Prompt) -> str:
    arguments = ", ".join(
        name if name in prompt.needed else f"{name}?" for name in prompt.arguments
    )
    head = f"{prompt.name}({clean(arguments, 200)})"
    return f"{head} {prompt.description}" if prompt.description else head


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _spec(
    source: McpSource, name: str, about: str, schema: dict[str, Any], limits: ToolLimits
) -> ToolSpec:
    return ToolSpec(
        name=f"{source.name}_{name}",
        description=about,
        input_schema=schema,
        origin="mcp",
        effects="none",
        limits=limits,
        tags=(source.name,),
    )
