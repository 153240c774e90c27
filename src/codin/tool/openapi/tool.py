"""An operation of an API as a tool."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from codin.errors import CodinError
from codin.sandbox.errors import SandboxError
from codin.tool.base import (
    Effects,
    InvalidArguments,
    ToolError,
    ToolFailed,
    ToolLimits,
    ToolSpec,
)
from codin.tool.invocation import Invocation, RunnableTool
from codin.tool.openapi.body import File, is_json, media_type_of
from codin.tool.openapi.client import Answer, ApiClient
from codin.tool.openapi.operation import SAFE, Operation
from codin.tool.openapi.paging import items_of, next_arguments

PAGES = "max_pages"
_MOST_PAGES = 50
_PAGED = frozenset(
    {"page", "cursor", "after", "starting_after", "page_token", "pageToken", "next_token", "offset"}
)
_MOST_FILE_BYTES = 64 * 1024 * 1024
_PAGES_SCHEMA = {
    "type": "integer",
    "minimum": 1,
    "maximum": _MOST_PAGES,
    "description": "How many pages to fetch and join; 1 without it.",
}


class OpenApiTool(RunnableTool):
    """Calls one operation. The request is made and sent by the platform; no code of the API's runs.

    Its result is the answer: JSON as data, text as text, and anything else as a file of the
    workspace. Where there is another page, it is ``{"result": ..., "next": {...}}``, with the
    arguments of the call for that; ``max_pages`` has pages joined.
    """

    def __init__(self, operation: Operation, client: ApiClient, *, api: str) -> None:
        self.operation = operation
        self.name = operation.name
        self._client = client
        self._pages = operation.method == "GET" and any(
            p.name in _PAGED and p.place == "query" for p in operation.parameters
        )
        self.spec = ToolSpec(
            name=operation.name,
            description=operation.description,
            input_schema=self._schema(),
            origin="openapi",
            effects=_effects(operation.method),
            limits=ToolLimits(),
            tags=(api, *operation.tags),
        )

    async def run(self, call: Invocation) -> Any:
        """Send the request of the call, and give what is answered."""
        arguments = dict(call.arguments)
        pages = int(arguments.pop(PAGES, 1)) if self._pages else 1
        joined: list[Any] = []
        for number in range(1, pages + 1):
            answer = await self._answer(call, arguments)
            value = await self._value(call, answer)
            following = next_arguments(self.operation, arguments, answer, value)
            items = items_of(value) if pages > 1 else None
            if items is None:
                return value if following is None else {"result": value, "next": following}
            joined += items
            if following is None:
                return {"result": joined, "pages": number}
            arguments = following
        return {"result": joined, "pages": pages, "next": arguments}

    async def _answer(self, call: Invocation, arguments: Mapping[str, Any]) -> Answer:
        operation = self.operation
        files = await self._files(call, arguments)
        try:
            request = operation.request(arguments, files)
        except ValueError as error:
            raise InvalidArguments(f"{self.name}: {error}") from error
        if operation.method == "POST" and call.idempotency_key:
            # An API that knows it does nothing twice when a run is repeated after a crash.
            request.headers.setdefault("Idempotency-Key", call.idempotency_key)
        try:
            return await self._client.send(
                request, operation.security, seconds=call.limits.seconds, secrets=call.secrets
            )
        except ToolError as error:
            raise type(error)(f"{self.name}: {error}") from error
        except CodinError as error:
            raise ToolFailed(f"{self.name}: {error}") from error

    async def _files(self, call: Invocation, arguments: Mapping[str, Any]) -> dict[str, File]:
        body = self.operation.body
        if body is None or body.argument not in arguments:
            return {}
        found: dict[str, File] = {}
        for path in body.files(arguments[body.argument]):
            try:
                async with call.sandboxes.sandbox(call.grant) as sandbox:
                    content = await sandbox.fs.read(path)
            except SandboxError as error:
                raise InvalidArguments(f"{self.name}: the file {path!r}: {error}") from error
            if len(content) > _MOST_FILE_BYTES:
                raise InvalidArguments(
                    f"{self.name}: the file {path!r} is larger than {_MOST_FILE_BYTES:,} bytes"
                )
            name = PurePosixPath(path).name
            found[path] = File(content, name, media_type_of(name))
        return found

    async def _value(self, call: Invocation, answer: Answer) -> Any:
        if not answer.content:
            return {"status": answer.status}
        if is_json(answer.media_type):
            try:
                return json.loads(answer.text)
            except ValueError as error:
                raise ToolFailed(f"{self.name}: the answer is not JSON: {error}") from error
        if answer.media_type.startswith("text/") or "xml" in answer.media_type:
            return answer.text
        return await self._kept(call, answer)

    async def _kept(self, call: Invocation, answer: Answer) -> dict[str, Any]:
        """The answer as a file of the workspace."""
        kind = answer.media_type or "application/octet-stream"
        path = f"{self.name}-{call.call_id[-8:]}{mimetypes.guess_extension(kind) or '.bin'}"
        async with call.sandboxes.sandbox(call.grant) as sandbox:
            await sandbox.fs.write(path, answer.content)
        return {"file": path, "media_type": kind, "bytes": len(answer.content)}

    def _schema(self) -> dict[str, Any]:
        schema = self.operation.input_schema
        if not self._pages or PAGES in schema["properties"]:
            self._pages = False
            return schema
        return {**schema, "properties": {**schema["properties"], PAGES: _PAGES_SCHEMA}}


def _effects(method: str) -> Effects:
    if method in SAFE:
        return "none"
    return "repeatable" if method in {"PUT", "DELETE"} else "once"
