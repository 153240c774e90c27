"""Calling an HTTP endpoint from this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING

from codin.errors import InvalidInputError
from codin.runtime._result import Outcome, Sink, Work
from codin.runtime._retry import retried
from codin.runtime.base import RunFailure, RuntimeFailure
from codin.runtime.secret import EnvironmentSecrets, Redactor, Secrets
from codin.runtime.workload import Endpoint, Retry
from codin.sandbox.base import Limits
from codin.sandbox.errors import OutputLimit, PermissionDenied, SandboxTimeout
from codin.sandbox.outcome import OutputChunk, Usage

if TYPE_CHECKING:
    import httpx

    from codin.security.outgoing import OutgoingGuard

REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})
"""Methods that may be repeated: RFC 9110, section 9.2.2."""

WORTH_REPEATING = (
    "ConnectError",
    "ConnectTimeout",
    "ReadError",
    "RemoteProtocolError",
    "WriteError",
    "429",
    "502",
    "503",
    "504",
)
"""What passes by itself: connections that broke, and answers that say so."""

_EVENTS = "text/event-stream"


class EndpointCaller:
    """Calls endpoints over one pool of connections, which keeps no cookies.

    Every call passes ``guard``, and goes by ``transport``; by the guard's own when none is given,
    which connects from this process to what it has checked just then. A secret is looked up when
    it is needed, and taken out of what comes back.
    """

    def __init__(
        self,
        guard: OutgoingGuard,
        secrets: Secrets | None = None,
        *,
        transport: Callable[[], httpx.AsyncBaseTransport] | None = None,
    ) -> None:
        self._guard = guard
        self._transport = transport or guard.transport
        self._secrets = secrets or EnvironmentSecrets()
        self._client: httpx.AsyncClient | None = None

    async def work(self, workload: Endpoint) -> Work:
        """The call, tried again as the workload and its method allow.

        Raises:
            NotFoundError: there is no such secret.
            InvalidInputError: no request can look so.
        """
        first = await _Exchange.prepare(self, workload)
        retry = retry_of(workload)
        if not retry.times:
            return first.run

        async def again() -> Work:
            return first.attempt

        attempts = retried(retry, first.attempt, again, after=_retry_after, silently=True)
        return lambda sink: first.finish(attempts, sink)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def secret(self, workload: Endpoint) -> str | None:
        """The secret that the workload names."""
        if workload.auth is None:
            return None
        return await self._secrets.get(workload.auth.name, owner=workload.owner)

    def client(self) -> httpx.AsyncClient:
        """The client of all calls."""
        if self._client is None:
            import httpx

            self._client = httpx.AsyncClient(
                transport=self._transport(),
                timeout=None,  # noqa: S113 - the limit of wall time is the whole call's
                trust_env=False,
                follow_redirects=False,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            )
        return self._client

    async def check(self, url: str) -> None:
        """Raises ``PermissionDenied`` when nothing may connect to ``url``."""
        from codin.security.errors import OutgoingRefused

        try:
            await self._guard.check(url)
        except OutgoingRefused as error:
            raise PermissionDenied(
                f"{url}: {error}; private_endpoints=True of the runtime allows private addresses"
            ) from error


def retry_of(workload: Endpoint) -> Retry:
    """How often a call is tried, and for what: as asked, or as its method allows."""
    if workload.retries is not None:
        asked = workload.retries
        return asked if asked.on else replace(asked, on=WORTH_REPEATING)
    times = 2 if workload.method.upper() in REPEATABLE else 0
    return Retry(times=times, on=WORTH_REPEATING)


class _Exchange:
    """One call: what is sent, and what of it may not be seen."""

    def __init__(self, caller: EndpointCaller, workload: Endpoint, secret: str | None) -> None:
        self._caller = caller
        self._workload = workload
        self._limits = workload.limits or Limits()
        self._secret = secret
        self._refused: list[OutputChunk] = []  # the body of an answer that is no good

    @classmethod
    async def prepare(cls, caller: EndpointCaller, workload: Endpoint) -> _Exchange:
        exchange = cls(caller, workload, await caller.secret(workload))
        exchange._request()
        return exchange

    async def run(self, sink: Sink) -> Outcome:
        return await self.finish(self.attempt, sink)

    async def finish(self, work: Work, sink: Sink) -> Outcome:
        """``work``, and the body of its last answer where that was an error."""
        outcome = await work(sink)
        for chunk in self._refused:
            sink.chunk(chunk)
        return outcome

    async def attempt(self, sink: Sink) -> Outcome:
        import httpx

        seconds, began = self._limits.wall_seconds, time.monotonic()
        self._refused = []
        try:
            async with asyncio.timeout(seconds):
                await self._caller.check(self._workload.url)
                return await self._exchange(sink, began)
        except TimeoutError:
            raise SandboxTimeout(f"{self._workload.url} did not answer in {seconds:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            text = self._clean(f"{self._workload.url}: {error}")
            failure = RunFailure(type(error).__name__, text)
            return Outcome(failure=failure, usage=Usage(time.monotonic() - began))

    async def _exchange(self, sink: Sink, began: float) -> Outcome:
        request = self._request()
        if request is None:
            raise PermissionDenied(f"this is no URL: {self._workload.url!r}")
        answer = await self._caller.client().send(request, stream=True)
        try:
            body = self._body(answer, sink)
            if answer.headers.get("content-type", "").startswith(_EVENTS) and answer.is_success:
                await _pass_events(answer, body, sink)
            else:
                async for _ in body:
                    pass
        finally:
            await answer.aclose()
        headers = {name: self._clean(value) for name, value in answer.headers.items()}
        failure = None
        if answer.status_code >= 400:
            text = f"{self._workload.url} answered {answer.status_code}"
            failure = RunFailure("HTTPStatus", text)
        value = {"status": answer.status_code, "headers": headers}
        return Outcome(value=value, failure=failure, usage=Usage(time.monotonic() - began))

    async def _body(self, answer: httpx.Response, sink: Sink) -> AsyncIterator[bytes]:
        """The body as it comes, which goes to ``sink`` too where the answer is a good one."""
        redactor = Redactor(self._secret.encode()) if self._secret else None
        left = self._limits.output_bytes
        async for data in answer.aiter_bytes():
            if left is not None and (left := left - len(data)) < 0:
                most = self._limits.output_bytes
                raise OutputLimit(f"{self._workload.url} answered more than {most} bytes")
            yield self._give(redactor.feed(data) if redactor else data, answer, sink)
        if redactor:
            yield self._give(redactor.rest(), answer, sink)

    def _give(self, data: bytes, answer: httpx.Response, sink: Sink) -> bytes:
        chunk = OutputChunk("stdout", data)
        if data and answer.status_code < 400:
            sink.chunk(chunk)
        elif data:
            self._refused.append(chunk)
        return data

    def _request(self) -> httpx.Request | None:
        """What is sent; nothing when its URL is none, which the guard says better."""
        import httpx

        workload = self._workload
        headers = dict(workload.headers)
        if workload.auth is not None:
            headers[workload.auth.header] = f"{workload.auth.scheme} {self._secret}".strip()
        try:
            return self._caller.client().build_request(
                workload.method,
                workload.url,
                headers=headers,
                content=workload.body,
                extensions={"workload": workload},
            )
        except httpx.InvalidURL:
            return None
        except (TypeError, ValueError) as error:
            raise InvalidInputError(
                f"no request to {workload.url} can have these headers: {type(error).__name__}"
            ) from None  # the error itself may have the secret in it

    def _clean(self, text: str) -> str:
        return Redactor(self._secret.encode()).clean(text) if self._secret else text


async def _pass_events(answer: httpx.Response, body: AsyncIterator[bytes], sink: Sink) -> None:
    import httpx

    try:
        from httpx_sse import EventSource
    except ImportError:
        raise RuntimeFailure(
            "a stream of events is read by httpx-sse: pip install 'codin[platform]'"
        ) from None
    copy = httpx.Response(200, headers={"content-type": _EVENTS}, content=body)
    async for event in EventSource(copy).aiter_sse():
        if event.data:  # without, it is none: the HTML standard, section 9.2.6
            sink.item({"event": event.event, "data": event.data, "id": event.id})


def _retry_after(outcome: Outcome) -> float | None:
    """What the answer asks for by ``Retry-After``: RFC 9110, section 10.2.3."""
    if not isinstance(outcome.value, dict):
        return None
    text = str(outcome.value["headers"].get("retry-after", ""))
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
