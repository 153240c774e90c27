"""A transport of httpx whose requests are made from inside sandboxes."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from codin.runtime.workload import Endpoint
from codin.sandbox.base import Limits, SandboxSpec
from codin.sandbox.errors import PermissionDenied, RemoteError, WorkerProtocolError
from codin.sandbox.pool import WorkerPool
from codin.sandbox.worker.base import WorkerCall

_PORTS = {"http": 80, "https": 443}
_REFUSED = "Tunnel connection failed: 403"


class InsideTransport(httpx.AsyncBaseTransport):
    """Each request has a sandbox of its own, which may connect to its host and port only.

    A request's extension ``workload`` is the ``Endpoint`` that it is of.
    """

    def __init__(self, pool: Callable[[], WorkerPool], spec: Callable[[Endpoint], SandboxSpec]):
        self._pool = pool
        self._spec = spec

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        workload: Endpoint = request.extensions["workload"]
        port = request.url.port or _PORTS[request.url.scheme]
        host = request.url.raw_host.decode("ascii")
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        limits = replace(workload.limits or Limits(), network=(target,))
        spec = replace(self._spec(workload), limits=limits)
        async with AsyncExitStack() as stack:
            place = self._pool().take_place(spec, owner=workload.owner or "-")
            _, worker = await stack.enter_async_context(place)
            call = worker.call("codin_http:exchange", await _arguments(request), source=_source())
            stack.push_async_callback(call.cancel)
            status, headers = await _head(call)
            body = _Body(call, stack.pop_all().aclose)
            return httpx.Response(status, headers=headers, stream=body)


class _Body(httpx.AsyncByteStream):
    def __init__(self, call: WorkerCall, close: Callable[[], Awaitable[None]]) -> None:
        self._call = call
        self._close = close

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._call.output():
            if chunk.stream == "stdout":
                yield chunk.data
        try:
            await self._call
        except RemoteError as error:
            raise httpx.ReadError(str(error)) from error

    async def aclose(self) -> None:
        await self._close()


async def _arguments(request: httpx.Request) -> list[Any]:
    headers = [
        [name.decode("ascii"), value.decode("latin-1")] for name, value in request.headers.raw
    ]
    trusted = _trusted() if request.url.scheme == "https" else ""
    return [request.method, str(request.url), headers, await request.aread(), trusted]


async def _head(call: WorkerCall) -> tuple[int, list[tuple[str, str]]]:
    """The status and the headers, as the program inside says.

    Raises:
        httpx.ConnectError: nobody answered.
        PermissionDenied: the proxy of the sandbox does not let it through.
    """
    async for item in call.items():
        try:
            return int(item["status"]), [(str(name), str(value)) for name, value in item["headers"]]
        except (TypeError, KeyError, ValueError) as error:
            raise WorkerProtocolError(f"this is no answer: {error}") from error
    try:
        await call
    except RemoteError as error:
        if _REFUSED in error.message:
            raise PermissionDenied(f"the sandbox may not connect there: {error.message}") from error
        if error.type_name in {"RemoteDisconnected", "ConnectionResetError", "BadStatusLine"}:
            raise httpx.RemoteProtocolError(str(error)) from error
        raise httpx.ConnectError(str(error)) from error
    raise WorkerProtocolError("the program inside gave no answer")


@cache
def _source() -> str:
    return Path(__file__).with_name("_inside_http.py").read_text("utf-8")


@cache
def _trusted() -> str:
    """The certificates that this machine's httpx trusts, as PEM."""
    context = httpx.create_ssl_context(trust_env=False)
    found = context.get_ca_certs(binary_form=True)
    return "".join(ssl.DER_cert_to_PEM_cert(each) for each in found)
