"""Calling an HTTP endpoint from this process."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from typing import TYPE_CHECKING

from codin.runtime._result import Emit, Outcome
from codin.runtime.base import Endpoint, RunFailure
from codin.sandbox.base import Limits
from codin.sandbox.errors import OutputLimit, PermissionDenied, SandboxTimeout
from codin.sandbox.outcome import OutputChunk, Usage

if TYPE_CHECKING:
    import httpx


async def request(workload: Endpoint, emit: Emit, *, private: bool) -> Outcome:
    """Make the request; the body is output, status and headers are the value.

    Redirects are not followed: where they lead was not asked for.

    Raises:
        PermissionDenied: not HTTP, or an address that may not be reached.
        SandboxTimeout, OutputLimit
    """
    import httpx

    limits, began = workload.limits or Limits(), time.monotonic()
    try:
        async with asyncio.timeout(limits.wall_seconds):
            await _check_address(workload.url, private=private)
            async with httpx.AsyncClient(timeout=None, trust_env=False) as client:  # noqa: S113
                return await _exchange(client, workload, emit, limits, began)
    except TimeoutError:
        raise SandboxTimeout(
            f"{workload.url} did not answer in {limits.wall_seconds:g} s"
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        failure = RunFailure(type(error).__name__, f"{workload.url}: {error}")
        return Outcome(failure=failure, usage=Usage(time.monotonic() - began))


async def _exchange(
    client: httpx.AsyncClient, workload: Endpoint, emit: Emit, limits: Limits, began: float
) -> Outcome:
    left = limits.output_bytes
    async with client.stream(
        workload.method, workload.url, headers=dict(workload.headers), content=workload.body
    ) as answer:
        async for data in answer.aiter_bytes():
            if left is not None and (left := left - len(data)) < 0:
                raise OutputLimit(f"{workload.url} answered more than {limits.output_bytes} bytes")
            emit(OutputChunk("stdout", data))
    value = {"status": answer.status_code, "headers": dict(answer.headers)}
    failure = None
    if answer.status_code >= 400:
        failure = RunFailure("HTTPStatus", f"{workload.url} answered {answer.status_code}")
    return Outcome(value=value, failure=failure, usage=Usage(time.monotonic() - began))


async def _check_address(url: str, *, private: bool) -> None:
    import httpx

    parsed = httpx.URL(url)
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise PermissionDenied(f"an endpoint is an http or https URL, not {url!r}")
    if private:
        return
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(parsed.host, parsed.port, type=socket.SOCK_STREAM)
    for *_, address in found:
        if not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_global:
            raise PermissionDenied(
                f"{parsed.host} is at {address[0]}, which is not public; "
                "LocalRuntime(private_endpoints=True) allows that"
            )
