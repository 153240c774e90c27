"""A request of plain HTTP, passed on: read and written anew by h11, so that both sides mean the
same by it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import h11

from codin.sandbox.network.relay import Wire
from codin.sandbox.network.request import HEAD_BYTES, Asked, Inside, Refused

# Of one connection only: RFC 9110, section 7.6.1. Transfer-Encoding stays, as h11 frames by it.
_HOP_BY_HOP = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization"),
        *(b"proxy-authenticate", b"te", b"trailer", b"upgrade"),
    }
)
_Headers = list[tuple[bytes, bytes]]


async def forward(inside: Inside, outside: Wire, request: h11.Request, asked: Asked) -> None:
    """Pass ``request`` on, and its answer back.

    Raises:
        Refused: one side speaks no HTTP.
        OSError: one side broke off.
    """
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
    head = h11.Request(
        method=request.method, target=asked.path or b"/", headers=_request_headers(request, asked)
    )
    await outside.send(http.send(head) or b"")
    try:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(_send_body(inside, outside, http))
            await _pass_back(inside, outside, http)
            sending.cancel()
    except BaseExceptionGroup as errors:
        error = errors.exceptions[0]
        if isinstance(error, h11.RemoteProtocolError):
            raise Refused(502, f"{asked.target} answered with no HTTP: {error}") from None
        raise error from None


async def _send_body(inside: Inside, outside: Wire, http: h11.Connection) -> None:
    while isinstance(event := await inside.next_event(), h11.Data | h11.EndOfMessage):
        if data := http.send(event):
            try:
                await outside.send(data)
            except OSError:
                return  # it reads no more, and may answer all the same
        if isinstance(event, h11.EndOfMessage):
            return


async def _pass_back(inside: Inside, outside: Wire, http: h11.Connection) -> None:
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await outside.receive())
        elif isinstance(event, h11.InformationalResponse):
            await inside.send(event)
        elif isinstance(event, h11.Response):
            await inside.send(_closing(event))
        elif isinstance(event, h11.Data | h11.EndOfMessage):
            await inside.send(event)
            if isinstance(event, h11.EndOfMessage):
                inside.wire.end()
                return
        else:
            raise h11.RemoteProtocolError("it closed the connection")


def _request_headers(request: h11.Request, asked: Asked) -> _Headers:
    """The headers for the server. Host is where the request goes, whatever it said of that:
    RFC 9112, section 3.2.2."""
    target = asked.target
    host = str(target) if target.port != 80 else str(target).removesuffix(":80")
    kept = [(name, value) for name, value in _end_to_end(request.headers) if name != b"host"]
    if any(name == b"transfer-encoding" for name, _ in kept):
        kept = [(name, value) for name, value in kept if name != b"content-length"]
    return [(b"host", host.encode("ascii")), *kept, (b"connection", b"close")]


def _closing(response: h11.Response) -> h11.Response:
    headers = [*_end_to_end(response.headers), (b"connection", b"close")]
    return h11.Response(status_code=response.status_code, headers=headers, reason=response.reason)


def _end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> _Headers:
    pairs = list(headers)
    named = {
        name.strip().lower()
        for key, value in pairs
        if key == b"connection"
        for name in value.split(b",")
    }
    return [
        (name, value)
        for name, value in pairs
        if name not in _HOP_BY_HOP and name not in named - {b"transfer-encoding", b"host"}
    ]
