"""Providers' own APIs, passed through with the key put in on this side."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from codin.model.errors import ModelTimeout, ModelUnavailable

_EVENTS = re.compile(rb"^data:\s*(\{.*\})\s*$", re.MULTILINE)
_KEPT_BYTES = 2 * 1024 * 1024
_SENT_HEADERS = ("content-type", "accept", "anthropic-version", "anthropic-beta")
_RETURNED_HEADERS = ("content-type", "request-id", "retry-after")
_SILENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class NativeApi:
    """One provider's API: where it is, how its key is sent, and what of it may be called.

    Only generation passes: files, batches and keys of the platform's account do not.
    """

    provider: str
    base_url: str
    key_header: str
    paths: re.Pattern[str]
    key: str = field(repr=False, default="")

    def allows(self, path: str) -> bool:
        """Whether the path (without a leading slash) is one of generation."""
        return self.paths.fullmatch(path) is not None


def native_apis(env: Mapping[str, str]) -> dict[str, NativeApi]:
    """The native APIs, by the first segment of the proxy's path."""
    return {
        "anthropic": NativeApi(
            "Anthropic",
            "https://api.anthropic.com",
            "x-api-key",
            re.compile(r"v1/messages(/count_tokens)?"),
            env.get("ANTHROPIC_API_KEY", ""),
        ),
        "google": NativeApi(
            "Google",
            "https://generativelanguage.googleapis.com",
            "x-goog-api-key",
            re.compile(
                r"v1(beta|alpha)?/models/[\w.-]+:"
                r"(generateContent|streamGenerateContent|countTokens)"
            ),
            env.get("GOOGLE_API_KEY") or env.get("GEMINI_API_KEY") or "",
        ),
    }


class NativeCall:
    """One request on its way through. Closed by `aclose`, once the body is read or not wanted."""

    def __init__(self, api: NativeApi) -> None:
        self._api = api
        self._client = httpx.AsyncClient(timeout=httpx.Timeout(_SILENCE_SECONDS, connect=10.0))
        self._usage = UsageReader()

    async def send(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> httpx.Response:
        """Send the request with the platform's key in place of the client's; the body is unread.

        Raises:
            ModelUnavailable: the provider cannot be reached.
            ModelTimeout: it stayed silent.
        """
        sent = {name: headers[name] for name in _SENT_HEADERS if name in headers}
        request = self._client.build_request(
            "POST",
            f"{self._api.base_url}/{path}",
            params={name: value for name, value in query.items() if name != "key"},
            headers=sent | {self._api.key_header: self._api.key, "accept-encoding": "identity"},
            content=body,
        )
        try:
            return await self._client.send(request, stream=True)
        except httpx.TimeoutException:
            raise ModelTimeout(f"{self._api.provider} did not answer in time") from None
        except httpx.HTTPError as error:
            raise ModelUnavailable(
                f"{self._api.provider} cannot be reached: {str(error) or type(error).__name__}"
            ) from None

    async def body(self, answer: httpx.Response) -> AsyncGenerator[bytes]:
        """The answer's bytes as they come."""
        async for data in answer.aiter_bytes():
            self._usage.feed(data)
            yield data

    def counts(self) -> tuple[int, int]:
        """Tokens in and out, as far as the body has told them."""
        return self._usage.counts()

    async def aclose(self) -> None:
        await self._client.aclose()


def returned_headers(answer: httpx.Response) -> dict[str, str]:
    """Those of the answer's headers that the client gets."""
    return {name: answer.headers[name] for name in _RETURNED_HEADERS if name in answer.headers}


class UsageReader:
    """Finds the token counts in a native answer while its bytes pass by."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, data: bytes) -> None:
        """Take in some bytes of the body; of a very long one the end is kept."""
        self._kept += data
        if len(self._kept) > _KEPT_BYTES:
            del self._kept[: len(self._kept) - _KEPT_BYTES]

    def counts(self) -> tuple[int, int]:
        """Tokens in and out; zeros when the answer told none."""
        found = [_counts(document) for document in self._documents()] or [(0, 0)]
        return max(taken for taken, _ in found), max(given for _, given in found)

    def _documents(self) -> list[Any]:
        body = bytes(self._kept)
        documents = []
        for text in _EVENTS.findall(body) or [body]:
            try:
                documents.append(json.loads(text))
            except ValueError:
                continue
        return documents


def _counts(document: Any) -> tuple[int, int]:
    if isinstance(document, list):
        pairs = [_counts(item) for item in document] or [(0, 0)]
        return max(pair[0] for pair in pairs), max(pair[1] for pair in pairs)
    if not isinstance(document, dict):
        return 0, 0
    message = document.get("message")
    usage = document.get("usage") or (message.get("usage") if isinstance(message, dict) else None)
    google = document.get("usageMetadata")
    return (
        _number(usage, "input_tokens") or _number(google, "promptTokenCount"),
        _number(usage, "output_tokens") or _number(google, "candidatesTokenCount"),
    )


def _number(counts: Any, name: str) -> int:
    value = counts.get(name) if isinstance(counts, dict) else None
    return value if isinstance(value, int) else 0
