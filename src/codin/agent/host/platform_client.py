"""The host's side of the host API: who a run is, its tools, its log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from codin.agent.host.unix import unix_http
from codin.agent.host.wire import (
    MAX_BODY,
    LogRecord,
    PlatformRefused,
    RunInfo,
    ToolAnswer,
    ToolRequest,
)
from codin.tool._size import is_deep
from codin.tool.arguments import positional
from codin.tool.base import InvalidArguments, ToolError, ToolSpec, error_of
from codin.tool.context import current_call_id

_GRACE_SECONDS = 30.0
_MEMORY_SECONDS = 60.0  # a store waits half a minute for its server
_MOST_DEPTH = 150  # pydantic reads no JSON of more than 200 levels

M = TypeVar("M", bound=BaseModel)


def platform_http(socket: str) -> httpx.AsyncClient:
    """An HTTP client of the host API behind the Unix socket at ``socket``."""
    return unix_http(socket, base_url="http://platform")


class PlatformClient:
    """Asks the host API on behalf of a run."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def run(self, token: str) -> RunInfo:
        """What the run behind ``token`` is.

        Raises:
            PlatformRefused: the token is not good, or the platform is not there.
        """
        answer = await self._request("GET", "/run", token, timeout=_GRACE_SECONDS)
        return _parsed(RunInfo, answer)

    async def call_tool(
        self, token: str, spec: ToolSpec, arguments: dict[str, Any], call_id: str | None = None
    ) -> ToolAnswer:
        """Call a tool of the run.

        Raises:
            InvalidArguments: they cannot be told in JSON, or are too large.
            PlatformRefused: the call did not come to the tool.
        """
        if is_deep(arguments, _MOST_DEPTH):
            raise InvalidArguments(
                f"{spec.name}: the arguments are nested more than {_MOST_DEPTH} deep; send less of "
                "them, or as text"
            )
        try:
            body = ToolRequest(arguments=arguments, call_id=call_id).model_dump_json()
        except ValueError as error:
            raise InvalidArguments(
                f"{spec.name}: the arguments cannot be told in JSON: {error}"
            ) from error
        if len(body) > MAX_BODY:
            raise InvalidArguments(f"the arguments of {spec.name} are larger than {MAX_BODY} bytes")
        answer = await self._request(
            "POST",
            f"/tools/{spec.name}",
            token,
            content=body,
            timeout=spec.limits.seconds + _GRACE_SECONDS,
        )
        return _parsed(ToolAnswer, answer)

    async def history(self, token: str, limit: int = 50) -> list[dict[str, Any]]:
        """The newest messages of the run's own context, oldest first, as A2A JSON."""
        answer = await self._request(
            "GET", f"/memory/history?limit={limit}", token, timeout=_GRACE_SECONDS
        )
        return list(answer.json()["messages"])

    async def memory(self, token: str, verb: str, body: str, answer: type[M]) -> M:
        """What the run's memory says to ``verb``, as ``codin.agent.host.memory_wire`` has it.

        Raises:
            PlatformRefused: it refuses, or cannot be used.
        """
        told = await self._request(
            "POST", f"/memory/{verb}", token, content=body, timeout=_MEMORY_SECONDS
        )
        return _parsed(answer, told)

    async def memory_lines(self, token: str, verb: str) -> AsyncIterator[str]:
        """The lines that the run's memory says to ``verb``. Raises as ``memory``."""
        path = f"/memory/{verb}"
        try:
            async with self._http.stream(
                "POST", path, headers=_headers(token), content="{}", timeout=_MEMORY_SECONDS
            ) as answer:
                if answer.is_error:
                    await answer.aread()
                    raise _refusal("POST", path, answer)
                async for line in answer.aiter_lines():
                    yield line
        except httpx.HTTPError as error:
            raise PlatformRefused(f"the platform did not answer POST {path}: {error!r}") from error

    async def log(self, token: str, record: LogRecord) -> None:
        """Write a line to the platform's log."""
        await self._request("POST", "/logs", token, content=record.model_dump_json(), timeout=5.0)

    async def _request(
        self, method: str, path: str, token: str, *, timeout: float, content: str | None = None
    ) -> httpx.Response:
        try:
            answer = await self._http.request(
                method, path, headers=_headers(token), content=content, timeout=timeout
            )
        except httpx.HTTPError as error:
            raise PlatformRefused(
                f"the platform did not answer {method} {path}: {error!r}"
            ) from error
        if answer.is_error:
            raise _refusal(method, path, answer)
        return answer


class RemoteTool:
    """A tool of the platform, as an agent in a host holds it: a proxy bound to the run."""

    def __init__(self, platform: PlatformClient, token: str, spec: ToolSpec) -> None:
        self.name = spec.name
        self.spec = spec
        self._platform = platform
        self._token = token

    def __repr__(self) -> str:
        return f"RemoteTool({self.name!r})"

    async def invoke(self, *args: Any, **kwargs: Any) -> Any:
        """Call the tool; positional arguments are taken in the order of its schema.

        Raises:
            ToolError: with a message that a model can act on.
        """
        arguments = positional(self.spec, args, kwargs)
        try:
            answer = await self._platform.call_tool(
                self._token, self.spec, arguments, current_call_id()
            )
        except PlatformRefused as error:
            raise ToolError(str(error)) from error
        if answer.is_error:
            raise error_of(answer.error_type, answer.text)
        return answer.value


def _headers(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", "content-type": "application/json"}


def _refusal(method: str, path: str, answer: httpx.Response) -> PlatformRefused:
    return PlatformRefused(
        f"the platform refused {method} {path}: {_reason(answer)}", status=answer.status_code
    )


def _parsed(kind: type[M], answer: httpx.Response) -> M:
    try:
        return kind.model_validate_json(answer.content)
    except ValidationError as error:
        raise PlatformRefused(f"the platform's answer cannot be read: {error}") from error


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
