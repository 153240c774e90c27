"""The loopback door to the models: from inside a host to the platform's model proxy.

It listens on the sandbox's own loopback, where provider SDKs can reach it, and forwards to the
platform's Unix socket with the token of the run that the request belongs to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from codin.agent.host.attribution import RUN_HEADER
from codin.agent.host.runs import ActiveRuns, Run
from codin.agent.host.wire import MAX_BODY
from codin.disconnect import ClientLeft, unless, while_connected

T = TypeVar("T")

_OVER = "the run that this model request belongs to has ended"
PREFIXES = ("v1", "anthropic", "google")

_NOT_FORWARDED = frozenset(
    {
        # Hop by hop (RFC 9110, section 7.6.1), and what httpx writes itself.
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "content-length",
        # Placeholders of the SDKs, and what is said to this door only.
        "authorization",
        "x-api-key",
        "x-goog-api-key",
        RUN_HEADER,
    }
)
_NOT_RETURNED = frozenset({"connection", "keep-alive", "transfer-encoding"})


def forwarder_app(platform: httpx.AsyncClient, runs: ActiveRuns) -> Starlette:
    """The ASGI app. ``platform`` is a client of the platform's host API."""
    forwarder = _Forwarder(platform, runs)
    routes = [
        Route(f"/{prefix}/{{path:path}}", forwarder.forward, methods=["GET", "POST"])
        for prefix in PREFIXES
    ]
    return Starlette(routes=routes)


class _Refused(Exception):
    """A model request that is answered here."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Forwarder:
    def __init__(self, platform: httpx.AsyncClient, runs: ActiveRuns) -> None:
        self._platform = platform
        self._runs = runs

    async def forward(self, request: Request) -> Response:
        try:
            run = self._run_of(request)
            outgoing = self._outgoing(request, run.token, await _read(request))
            answer = await while_connected(
                request, _until(run.over, self._platform.send(outgoing, stream=True))
            )
        except _Refused as refused:
            return openai_error(refused.status, str(refused))
        except ClientLeft:
            return Response(status_code=499)
        except httpx.HTTPError as error:
            return openai_error(502, f"the platform's model proxy did not answer: {error!r}")
        kept = {k: v for k, v in answer.headers.items() if k.lower() not in _NOT_RETURNED}
        return StreamingResponse(_body(answer, run.over), answer.status_code, headers=kept)

    def _run_of(self, request: Request) -> Run:
        run = self._runs.find(request.headers.get(RUN_HEADER))
        if run is None:
            raise _Refused(401, self._why_nobody(request))
        if run.over.is_set():
            raise _Refused(401, _OVER)
        if ".." in request.url.path.split("/"):
            raise _Refused(400, "the path of a model request must not contain '..'")
        return run

    def _outgoing(self, request: Request, token: str, body: bytes) -> httpx.Request:
        headers = [(k, v) for k, v in request.headers.items() if k not in _NOT_FORWARDED]
        headers.append(("authorization", f"Bearer {token}"))
        query = request.url.query
        target = request.url.path + (f"?{_without_key(query)}" if query else "")
        return self._platform.build_request(request.method, target, headers=headers, content=body)

    def _why_nobody(self, request: Request) -> str:
        if RUN_HEADER in request.headers:
            return _OVER
        if len(self._runs) == 0:
            return "no run is under way in this agent host; models can be used during a run only"
        return (
            f"{len(self._runs)} runs are under way and this model request does not say which it "
            "belongs to: make it from the run's own context (in a thread: with "
            "contextvars.copy_context)"
        )


def openai_error(status: int, message: str) -> JSONResponse:
    """An error in the shape that OpenAI's clients read."""
    kind = "authentication_error" if status == 401 else "invalid_request_error"
    body = {"message": message, "type": kind if status < 500 else "server_error"}
    return JSONResponse({"error": {**body, "param": None, "code": None}}, status)


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise _Refused(413, f"the model request is larger than {MAX_BODY} bytes")
    return bytes(body)


async def _body(answer: httpx.Response, over: asyncio.Event) -> AsyncIterator[bytes]:
    # Raw, so that a content-encoding passes through as the header says.
    chunks = answer.aiter_raw()
    try:
        while (chunk := await _until(over, _next(chunks))) is not None:
            yield chunk
    finally:
        await answer.aclose()


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    return await anext(chunks, None)


async def _until(over: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """What comes of ``work``. Raises ``_Refused`` when the run has ended first."""
    return await unless(over.wait(), work, _Refused(401, _OVER))


def _without_key(query: str) -> str:
    return "&".join(pair for pair in query.split("&") if not pair.startswith("key="))
