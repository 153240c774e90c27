"""All operations of one document as tools."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from codin.security import OutgoingGuard
from codin.security.credentials import Credential
from codin.tool.invocation import RunnableTool
from codin.tool.openapi.auth import Credentials
from codin.tool.openapi.client import ApiClient
from codin.tool.openapi.compile import Compiled, Names, compile_document
from codin.tool.openapi.document import Document, read_document
from codin.tool.openapi.errors import OpenApiError
from codin.tool.openapi.schemas import BUDGET
from codin.tool.openapi.tool import OpenApiTool
from codin.tool.source import ToolSource

_MOST_SHOWN = 20


class OpenApiSource(ToolSource):
    """The operations of the document at ``document``, a file or an address, OpenAPI 3.0 or 3.1.

    An operation that cannot be used is left out and named in ``problems``, never the document.

    Args:
        name: the namespace; it stands before the names of its operations.
        operations: patterns of the operations that are taken, by id, tag, or ``"GET /path"``;
            without any, all are.
        server: where the API is; the document's first server otherwise.
        variables: values for the variables in the server's address.
        credentials: by the names of the document's security schemes.
        guard: lets the platform connect; without it, to public addresses only.
        budget: characters that the schema of one tool may have.
    """

    def __init__(
        self,
        name: str,
        document: str | Path,
        *,
        operations: Sequence[str] = (),
        server: str | None = None,
        variables: Mapping[str, str] | None = None,
        credentials: Mapping[str, Credential] | None = None,
        guard: OutgoingGuard | None = None,
        budget: int = BUDGET,
    ) -> None:
        self.name = name
        self.problems: list[str] = []
        self.compiled = Compiled((), ())
        self._document = document
        self._wanted = tuple(operations)
        self._server = server
        self._variables = dict(variables or {})
        self._given = dict(credentials or {})
        self._guard = guard or OutgoingGuard()
        self._budget = budget
        self._client: ApiClient | None = None

    async def open(self) -> Sequence[RunnableTool]:
        document = await read_document(self._document, self._guard)
        self.compiled = await asyncio.to_thread(
            compile_document,
            document,
            prefix=self.name,
            server=self._server,
            variables=self._variables,
            budget=self._budget,
            takes=self._takes if self._wanted else None,
        )
        if not self.compiled.operations:
            raise OpenApiError(f"{self._document}: {self._nothing(document)}")
        place = f"openapi.{self.name}"
        credentials = Credentials(document, self._given, self._guard, place=place)
        self.problems = [*credentials.problems, *self._skipped()]
        self._client = ApiClient(self._guard, credentials)
        return await asyncio.to_thread(self._tools, self._client)

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    def _tools(self, client: ApiClient) -> list[OpenApiTool]:
        return [OpenApiTool(one, client, api=self.name) for one in self.compiled.operations]

    def _takes(self, names: Names) -> bool:
        return any(fnmatchcase(name, pattern) for name in names for pattern in self._wanted)

    def _nothing(self, document: Document) -> str:
        if self.compiled.skipped:
            return f"none of its operations can be used: {self.compiled.skipped[0]}"
        if self._wanted and document.section("paths"):
            return f"none of its operations is among {', '.join(self._wanted)}"
        return "it has no operations"

    def _skipped(self) -> list[str]:
        skipped = self.compiled.skipped
        told = [f"{self.name}: {one}" for one in skipped[:_MOST_SHOWN]]
        more = len(skipped) - len(told)
        return [*told, f"{self.name}: and {more} more operations cannot be used"] if more else told
