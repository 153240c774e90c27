"""What a server answers, as data, text, and files of the workspace."""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from codin.security.secrets import hide
from codin.tool._text import clean
from codin.tool.base import ToolFailed
from codin.tool.invocation import Invocation

if TYPE_CHECKING:
    import mcp_types as types

    _Contents = types.TextResourceContents | types.BlobResourceContents

ReadResource = Callable[[str], Awaitable["types.ReadResourceResult"]]

_MOST_PARTS = 200
_MOST_FILES = 20
_ERROR_CHARS = 2_000
_ENDINGS = {"audio/wav": ".wav"}  # Python knows it by its old name alone


class Answer:
    """Makes the value of one call out of what the server answered.

    Args:
        name: of the tool; files are named after it.
        call: in whose workspace they are written.
        read: reads a resource that the server links to.
    """

    def __init__(self, name: str, call: Invocation, read: ReadResource) -> None:
        self._name = name
        self._call = call
        self._read = read
        self._files = 0

    async def of_tool(self, result: types.CallToolResult) -> Any:
        """Structured content as data, otherwise what the content says.

        Raises:
            ToolFailed: the tool says that it failed, or what it gives cannot be read.
        """
        if result.is_error:
            raise ToolFailed(f"{self._name} failed: {self._said(result.content)}")
        if result.structured_content is None:
            return await self.of_content(result.content)
        data = result.structured_content
        files = [await self._part(one) for one in result.content if one.type != "text"]
        return {"result": data, "files": files} if files else data

    async def of_content(self, content: Sequence[types.ContentBlock]) -> Any:
        """One text for texts; a list of parts where there are others among them."""
        parts: list[Any] = []
        for one in content[:_MOST_PARTS]:
            part = await self._part(one)
            if parts and isinstance(part, str) and isinstance(parts[-1], str):
                parts[-1] = f"{parts[-1]}\n{part}"
            else:
                parts.append(part)
        if len(content) > _MOST_PARTS:
            parts.append(f"[{len(content) - _MOST_PARTS:,} more parts are left out]")
        return parts[0] if len(parts) == 1 else (parts or "")

    async def of_resource(self, result: types.ReadResourceResult) -> Any:
        """What a resource has in it."""
        parts = [await self._contents(one, plain=True) for one in result.contents[:_MOST_PARTS]]
        return parts[0] if len(parts) == 1 else parts

    async def of_prompt(self, result: types.GetPromptResult) -> Any:
        """The messages of a prompt."""
        return [
            {"role": one.role, "content": await self._part(one.content)}
            for one in result.messages[:_MOST_PARTS]
        ]

    async def _part(self, block: types.ContentBlock) -> Any:
        if block.type == "text":
            return block.text
        if block.type == "resource":
            return await self._contents(block.resource)
        if block.type == "resource_link":
            return await self._linked(block)
        return await self._file(self._decoded(block.data), block.mime_type)

    async def _linked(self, link: types.ResourceLink) -> Any:
        """The resource that is linked to, read from the same server and from nowhere else."""
        about = {"uri": clean(link.uri, 2_000), "name": clean(link.name, 200)}
        if self._files >= _MOST_FILES:
            return about
        try:
            contents = (await self._read(link.uri)).contents
        except Exception as error:
            return {**about, "error": clean(str(error), 300)}
        if len(contents) != 1:
            return {**about, "parts": len(contents)}
        one = contents[0]
        return {**about, **await self._file(self._bytes(one), one.mime_type or link.mime_type)}

    async def _contents(self, one: _Contents, *, plain: bool = False) -> Any:
        import mcp_types as types

        about = {"uri": clean(one.uri, 2_000)}
        if isinstance(one, types.TextResourceContents):
            return one.text if plain else {**about, "text": one.text}
        return {**about, **await self._file(self._bytes(one), one.mime_type)}

    def _bytes(self, one: _Contents) -> bytes:
        import mcp_types as types

        if isinstance(one, types.TextResourceContents):
            return hide(one.text, self._call.secrets).encode()
        return self._decoded(one.blob)

    def _decoded(self, data: str) -> bytes:
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise ToolFailed(f"{self._name} answered what is no base64: {error}") from None

    async def _file(self, content: bytes, media_type: str | None) -> dict[str, Any]:
        """``content`` as a file of the workspace."""
        kind = clean(media_type or "", 100).partition(";")[0].strip() or "application/octet-stream"
        self._files += 1
        if self._files > _MOST_FILES:
            return {"media_type": kind, "bytes": len(content), "left_out": "too many files"}
        call_id = re.sub(r"[^A-Za-z0-9]", "", self._call.call_id)[-8:]
        path = f"{self._name}-{call_id}-{self._files}{_ending(kind)}"
        async with self._call.sandboxes.sandbox(self._call.grant) as sandbox:
            await sandbox.fs.write(path, content)
        return {"file": path, "media_type": kind, "bytes": len(content)}

    def _said(self, content: Iterable[types.ContentBlock]) -> str:
        texts = [one.text for one in content if one.type == "text"]
        said = clean("\n".join(texts[:_MOST_PARTS]), _ERROR_CHARS)
        return said or "it says no more"


def _ending(media_type: str) -> str:
    found = _ENDINGS.get(media_type) or mimetypes.guess_extension(media_type, strict=False)
    return found or ".bin"
