"""The model proxy: the only way by which agents reach a language model.

An agent holds a token of its run and a base URL; provider keys are added on this side, and what
each run uses is metered. ``/v1/chat/completions`` and ``/v1/models`` are OpenAI's; the client may
name any model there, the platform's choice answers. ``/anthropic/...`` and ``/google/...`` pass
generation requests of these providers' own APIs through.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from codin.disconnect import ClientLeft, while_connected
from codin.errors import CodinError
from codin.model._answers import (
    ClosingStream,
    error_response,
    model_error,
    sse,
)
from codin.model.base import CallContext, Meter, ModelUsage
from codin.model.errors import BadModelOutput, ModelError
from codin.model.native import NativeApi, NativeCall, native_apis, returned_headers
from codin.model.record import ModelRecord
from codin.model.recorded import answered
from codin.model.upstream import Upstream

Authenticate = Callable[[str], Awaitable[CallContext]]
"""From a bearer token to the run that it stands for; raises a `CodinError` for any other."""

_MAX_BODY_BYTES = 16 * 1024 * 1024


class _Refusal(Exception):
    def __init__(self, status: int, message: str, code: str) -> None:
        super().__init__(message)
        self.response = error_response(status, message, code)


def model_proxy(
    upstream: Upstream,
    authenticate: Authenticate,
    meter: Meter,
    *,
    native: Mapping[str, NativeApi] | None = None,
    record: ModelRecord | None = None,
) -> Starlette:
    """The proxy as an ASGI application, to be mounted or served on its own.

    Args:
        upstream: where OpenAI chat requests go. It stays the caller's to close.
        native: the providers' own APIs; those with keys in the environment when not given.
        record: what was answered to runs that may have to be made again.
    """
    apis = native_apis(os.environ) if native is None else native
    proxy = _Proxy(upstream, authenticate, meter, apis, record or ModelRecord())
    app = Starlette(
        routes=[
            Route("/v1/models", proxy.models, methods=["GET"]),
            Route("/v1/chat/completions", proxy.chat, methods=["POST"]),
            Route("/{api}/{path:path}", proxy.native, methods=["POST"]),
        ],
        exception_handlers={_Refusal: _refused, ClientLeft: _gone, 404: _unknown, 405: _unknown},
    )
    app.router.redirect_slashes = False
    return app


class _Proxy:
    def __init__(
        self,
        upstream: Upstream,
        authenticate: Authenticate,
        meter: Meter,
        native: Mapping[str, NativeApi],
        record: ModelRecord,
    ) -> None:
        self._upstream = upstream
        self._authenticate = authenticate
        self._meter = meter
        self._native = native
        self._record = record

    async def models(self, request: Request) -> Response:
        await self._admit(request)
        card = {"id": self._upstream.name, "object": "model", "created": 0, "owned_by": "codin"}
        return JSONResponse({"object": "list", "data": [card]})

    async def chat(self, request: Request) -> Response:
        context = await self._admit(request)
        content = await _limited_body(request)

        async def ask() -> Response:
            return await self._chat(request, context, _chat_body(content))

        return await answered(self._record, context.task_id, content, ask)

    async def _chat(self, request: Request, context: CallContext, body: dict[str, Any]) -> Response:
        await self._allow(context)
        try:
            if body.get("stream"):
                return await while_connected(request, self._streamed(context, body))
            return await while_connected(request, self._whole(context, body))
        except ModelError as error:
            return error_response(*model_error(error))

    async def _whole(self, context: CallContext, body: dict[str, Any]) -> Response:
        async with self._metered(context) as usage:
            answer = await self._upstream.complete(body)
            usage.update(answer.get("usage") or {})
        return JSONResponse(answer)

    async def _streamed(self, context: CallContext, body: dict[str, Any]) -> Response:
        wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        chunks = self._chunks(context, body)
        # Whether this is a stream or an HTTP error is known with the first chunk.
        first = await anext(chunks, None)
        if first is None:
            raise BadModelOutput(f"{self._upstream.name} sent an empty stream")
        return ClosingStream(
            sse(first, chunks, usage=wants_usage),
            chunks,
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache"},
        )

    async def _chunks(
        self, context: CallContext, body: dict[str, Any]
    ) -> AsyncGenerator[dict[str, Any]]:
        async with self._metered(context) as usage, aclosing(self._upstream.stream(body)) as chunks:
            async for chunk in chunks:
                usage.update(chunk.get("usage") or {})
                yield chunk

    @asynccontextmanager
    async def _metered(self, context: CallContext) -> AsyncIterator[dict[str, Any]]:
        """Records what is put into the yielded counts, and the time, whatever happens."""
        started = time.monotonic()
        counts: dict[str, Any] = {}
        try:
            yield counts
        finally:
            details = counts.get("prompt_tokens_details") or {}
            usage = ModelUsage(
                self._upstream.name,
                int(counts.get("prompt_tokens") or 0),
                int(counts.get("completion_tokens") or 0),
                time.monotonic() - started,
                int(details.get("cached_tokens") or 0),
            )
            await self._meter.record(context, usage)

    async def native(self, request: Request) -> Response:
        api = self._native.get(request.path_params["api"])
        if api is None:
            return await _unknown(request, None)
        context = await self._admit(request)
        path = request.path_params["path"]
        if not api.allows(path):
            raise _Refusal(404, f"/{path} of {api.provider} is not passed on", "not_found")
        if not api.key:
            message = f"the platform has no key for {api.provider}; use /v1, or set its key"
            raise _Refusal(503, message, "provider_not_configured")
        content = await _limited_body(request)

        async def ask() -> Response:
            return await self._asked(request, context, api, content)

        # Without the run's token, which may be there and is another in each attempt.
        query = sorted(one for one in request.query_params.multi_items() if one[0] != "key")
        about = f"{request.url.path} {query}\n".encode()
        return await answered(self._record, context.task_id, about + content, ask)

    async def _asked(
        self, request: Request, context: CallContext, api: NativeApi, content: bytes
    ) -> Response:
        await self._allow(context)
        path = request.path_params["path"]
        call = NativeCall(api)
        try:
            sending = call.send(path, request.query_params, request.headers, content)
            answer = await while_connected(request, sending)
        except BaseException as error:
            await call.aclose()
            if isinstance(error, ModelError):
                return error_response(*model_error(error))
            raise
        return ClosingStream(
            self._passed(context, call, answer),
            call,
            status_code=answer.status_code,
            headers=returned_headers(answer),
        )

    async def _passed(
        self, context: CallContext, call: NativeCall, answer: httpx.Response
    ) -> AsyncGenerator[bytes]:
        async with self._metered(context) as usage:
            try:
                async for data in call.body(answer):
                    yield data
            finally:
                taken, given = call.counts()
                usage.update(prompt_tokens=taken, completion_tokens=given)

    async def _admit(self, request: Request) -> CallContext:
        token = _token(request)
        if not token:
            raise _Refusal(401, "the run's token is missing", "invalid_api_key")
        try:
            return await self._authenticate(token)
        except CodinError as error:
            raise _Refusal(401, str(error), "invalid_api_key") from None

    async def _allow(self, context: CallContext) -> None:
        try:
            await self._meter.allow(context)
        except ModelError as error:
            status, message, code = model_error(error)
            raise _Refusal(status, message, code) from None


def _token(request: Request) -> str:
    """The run's token, wherever the SDKs of the providers put their key."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token
    headers = (request.headers.get(name) for name in ("x-api-key", "x-goog-api-key"))
    return next(filter(None, headers), None) or request.query_params.get("key", "")


async def _limited_body(request: Request) -> bytes:
    body = bytearray()
    async for data in request.stream():
        body += data
        if len(body) > _MAX_BODY_BYTES:
            limit = _MAX_BODY_BYTES // (1024 * 1024)
            raise _Refusal(413, f"the request is longer than {limit} MiB", "request_too_large")
    return bytes(body)


def _chat_body(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except ValueError:
        raise _Refusal(400, "the request's body is no JSON", "invalid_json") from None
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
        raise _Refusal(400, "the request's body has no list of messages", "invalid_request")
    return body


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, _Refusal)
    return error.response


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)


async def _unknown(request: Request, error: Exception | None) -> Response:
    message = (
        f"{request.method} {request.url.path} is not known here: the model proxy has"
        " /v1/chat/completions, /v1/models, /anthropic/... and /google/..."
    )
    return error_response(404, message, "unknown_url")
