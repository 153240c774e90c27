"""What is asked of the proxy: one request of HTTP, read by h11, and short answers to it."""

from __future__ import annotations

from dataclasses import dataclass

import h11

from codin.errors import InvalidInputError
from codin.sandbox.network.relay import Wire
from codin.security.targets import Target, parse_target, target_of

HEAD_BYTES = 64 * 1024
"""The longest head of a request or an answer."""


class Refused(Exception):
    """The request is not carried out: the status, and one line that says why."""

    def __init__(self, status: int, reason: str, target: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.target = target


@dataclass(frozen=True, slots=True)
class Asked:
    """Where a request is for. ``path`` is what the server is asked for; ``None`` for CONNECT."""

    target: Target
    path: bytes | None = None


class Inside:
    """The side of the client, which is code that nobody has read."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)

    async def request(self) -> h11.Request | None:
        """The head of its one request; nothing when it has gone.

        Raises:
            Refused: it is no HTTP.
            OSError: it broke off.
        """
        event = await self.next_event()
        return event if isinstance(event, h11.Request) else None

    async def next_event(self) -> h11.Event:
        """The next event of its request. Raises as ``request`` does."""
        while True:
            try:
                event = self.http.next_event()
                if isinstance(event, h11.Event):
                    return event
                self.http.receive_data(await self.wire.receive())
            except h11.RemoteProtocolError as error:
                raise Refused(error.error_status_hint, f"this is no HTTP: {error}") from None

    async def send(self, event: h11.Event) -> None:
        """Send a part of the answer. Raises ``OSError``, ``h11.LocalProtocolError``."""
        data = self.http.send(event)
        if data:
            await self.wire.send(data)

    async def refuse(self, refused: Refused, method: bytes) -> None:
        """Answer with one line, in the reason too: many clients show nothing else.

        Raises ``OSError``.
        """
        if self.http.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        line = f"codin: {refused.reason}".encode("ascii", "replace")
        body = b"" if method == b"HEAD" else line + b"\n"
        headers = [
            ("content-type", "text/plain; charset=utf-8"),
            ("content-length", str(len(line) + 1)),
            ("connection", "close"),
        ]
        await self.send(h11.Response(status_code=refused.status, headers=headers, reason=line))
        await self.send(h11.Data(data=body))
        await self.send(h11.EndOfMessage())
        self.wire.end()


def asked_of(request: h11.Request) -> Asked:
    """Where ``request`` is for.

    Raises:
        Refused: it does not say, or in a form that could be read in two ways.
    """
    text = request.target.decode("ascii", "replace")
    try:
        if request.method == b"CONNECT":  # RFC 9110, section 9.3.6: the authority, and no more
            return Asked(parse_target(text))
        return _absolute(text)
    except InvalidInputError as error:
        raise Refused(400, str(error), target=ascii(text[:100])) from None


def _absolute(text: str) -> Asked:
    import httpx

    if text.startswith(("/", "*")):
        raise Refused(400, "this is a proxy, and no server: ask it for http://host/path")
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise InvalidInputError(f"this is no URL: {error}") from None
    if url.scheme != "http":
        raise InvalidInputError("of a proxy, http:// is asked for; for all else there is CONNECT")
    if url.userinfo or "@" in text.partition("//")[2].partition("/")[0]:
        raise InvalidInputError("the URL carries a password: give credentials apart from it")
    host = url.raw_host.decode("ascii").strip("[]")
    return Asked(target_of(host, url.port or 80), url.raw_path)
