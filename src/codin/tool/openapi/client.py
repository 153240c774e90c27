"""Sends the requests of operations, and reads what comes back, within limits."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_exponential_jitter

from codin.security import OutgoingGuard
from codin.security.secrets import forms, hide
from codin.tool.base import ToolFailed, ToolOutputLimit, ToolUnavailable
from codin.tool.openapi.auth import Credentials, Entry
from codin.tool.openapi.operation import IDEMPOTENT, Requirement

MAX_ANSWER_BYTES = 16 * 1024 * 1024
_TRANSIENT = frozenset({429, 502, 503, 504})
_MOST_WAIT_SECONDS = 20.0
_SECONDS = 30.0
_SHOWN = 600


@dataclass(frozen=True, slots=True)
class Answer:
    """What an API answered. ``links`` are those of its ``Link`` header, by their relations."""

    status: int
    media_type: str
    headers: httpx.Headers
    content: bytes
    encoding: str = "utf-8"

    @property
    def text(self) -> str:
        """The content as text."""
        return self.content.decode(self.encoding, "replace")

    @property
    def links(self) -> dict[str, str]:
        """The addresses of its ``Link`` header, by their relations (RFC 8288)."""
        found = httpx.Response(self.status, headers=self.headers).links
        return {str(rel): str(link["url"]) for rel, link in found.items() if "url" in link}


class _Again(Exception):
    """It may go better another time. ``seconds`` is how long the API wants to be left alone."""

    def __init__(self, answer: Answer | None, seconds: float, why: str) -> None:
        super().__init__(why)
        self.answer = answer
        self.seconds = seconds


class ApiClient:
    """Requests of one API, through the guard, with its credentials.

    Redirects are not followed: credentials go where the document says and nowhere else.
    """

    def __init__(
        self,
        guard: OutgoingGuard,
        credentials: Credentials,
        *,
        attempts: int = 3,
        most_bytes: int = MAX_ANSWER_BYTES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._credentials = credentials
        self._attempts = attempts
        self._most = most_bytes
        self._client = httpx.AsyncClient(
            transport=transport or guard.transport(), timeout=_SECONDS, trust_env=False
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def send(
        self,
        request: httpx.Request,
        ways: Sequence[Requirement],
        *,
        seconds: float = _SECONDS,
        secrets: list[str] | None = None,
    ) -> Answer:
        """The answer to ``request``, in one of ``ways`` to be let in.

        What lets it in is added to ``secrets`` before anything is sent, and is not in the answer's
        content. What is idempotent is tried again when the API is not there, or overloaded.

        Raises:
            ToolFailed: it cannot be reached, or refuses; the message has what it says.
            ToolOutputLimit: it answers too much.
            OutgoingRefused: the platform may not connect there.
        """
        attempts = self._attempts if request.method in IDEMPOTENT else 1
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_Again),
            stop=stop_after_attempt(attempts),
            wait=_wait,
            sleep=asyncio.sleep,
            reraise=True,
        )
        way = self._credentials.way(ways)
        try:
            used = [] if secrets is None else secrets
            answer: Answer = await retrying(self._once, request, way, seconds, used)
        except _Again as again:
            if again.answer is None:
                said = f"{request.url.host} cannot be reached: {again}"
                raise ToolUnavailable(said) from again
            raise ToolUnavailable(_refusal(request, again.answer)) from again
        if answer.status >= 300:
            raise ToolFailed(_refusal(request, answer))
        return answer

    async def _once(
        self, request: httpx.Request, way: Requirement | None, seconds: float, secrets: list[str]
    ) -> Answer:
        answer = await self._let_in(request, way, seconds, secrets)
        if answer.status == 401 and self._credentials.refused(way):
            answer = await self._let_in(request, way, seconds, secrets)
        answer = _hidden(answer, forms(secrets))
        if answer.status in _TRANSIENT:
            wait = _seconds(answer.headers.get("retry-after"))
            raise _Again(answer, wait, f"status {answer.status}")
        return answer

    async def _let_in(
        self, request: httpx.Request, way: Requirement | None, seconds: float, secrets: list[str]
    ) -> Answer:
        entries = await self._credentials.entries(way)
        new = {secret for entry in entries for secret in entry.secrets}
        secrets += new.difference(secrets)
        return await self._exchanged(_with(request, entries), seconds)

    async def _exchanged(self, request: httpx.Request, seconds: float) -> Answer:
        request.extensions["timeout"] = httpx.Timeout(seconds, connect=10.0).as_dict()
        content = bytearray()
        try:
            answer = await self._client.send(request, stream=True)
            try:
                async for piece in answer.aiter_bytes():
                    content += piece
                    if len(content) > self._most:
                        raise ToolOutputLimit(
                            f"{request.url.host} answered more than {self._most:,} bytes; ask for "
                            "less at once"
                        )
            finally:
                await answer.aclose()
        except httpx.TransportError as error:
            raise _Again(None, 0.0, str(error) or type(error).__name__) from error
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        encoding = answer.charset_encoding or "utf-8"
        return Answer(answer.status_code, media_type, answer.headers, bytes(content), encoding)


def _with(request: httpx.Request, entries: Sequence[Entry]) -> httpx.Request:
    """A copy of ``request`` with what lets it in."""
    url = request.url
    headers = request.headers.copy()
    for entry in entries:
        for name, value in entry.query:
            url = url.copy_add_param(name, value)
        for name, value in entry.headers:
            headers[name] = value
        for name, value in entry.cookies:
            before = headers.get("cookie")
            headers["cookie"] = f"{before}; {name}={value}" if before else f"{name}={value}"
    return httpx.Request(request.method, url, headers=headers, stream=request.stream)


def _hidden(answer: Answer, secrets: Collection[str]) -> Answer:
    """``answer`` without what let the request in: some say it again."""
    if not any(secret.encode() in answer.content for secret in secrets):
        return answer
    content = hide(answer.text, secrets).encode(answer.encoding, "replace")
    return Answer(answer.status, answer.media_type, answer.headers, content, answer.encoding)


def _refusal(request: httpx.Request, answer: Answer) -> str:
    said = " ".join(answer.text.split())[:_SHOWN]
    text = f"{request.method} {request.url.path} answered {answer.status}"
    if 300 <= answer.status < 400:
        return f"{text}, which leads elsewhere and is not followed"
    return f"{text}: {said}" if said else text


def _seconds(header: str | None) -> float:
    """``Retry-After`` (RFC 9110, section 10.2.3) where it is a number of seconds."""
    return float(header) if header and header.isdecimal() else 0.0


def _wait(state: RetryCallState) -> float:
    """As long as the API asks for, within reason; otherwise longer each time."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.seconds if isinstance(error, _Again) else 0.0
    return min(max(asked, float(_GROWING(state))), _MOST_WAIT_SECONDS)


_GROWING = wait_exponential_jitter(initial=0.2, max=5.0, jitter=0.2)
