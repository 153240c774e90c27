"""Other people's public keys: fetched over HTTP, kept for a while, and never without bounds."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet

from codin.security.errors import SecurityFailure

if TYPE_CHECKING:
    import httpx

MAX_BYTES = 1_000_000
MAX_KEYS = 100
_SECONDS = 10.0
# Not compressed: a small body may unpack to one without bounds.
_HEADERS = {"accept": "application/json", "accept-encoding": "identity"}


class RemoteKeys:
    """The JWK set at ``url``, kept for ``max_age`` seconds.

    An unknown key id has it fetched anew, so that the other side can rotate, but no more often
    than every ``min_interval`` seconds: whoever makes up key ids must not make us hammer it. When
    fetching fails, the keys that were kept go on for ``stale_seconds``.
    """

    def __init__(
        self,
        url: str,
        client: httpx.AsyncClient,
        *,
        max_age: float = 600.0,
        min_interval: float = 10.0,
        stale_seconds: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._client = client
        self._max_age = max_age
        self._min_interval = min_interval
        self._stale_seconds = stale_seconds
        self._clock = clock
        self._lock = asyncio.Lock()
        self._keys: tuple[Key, ...] = ()
        self._fetched: float | None = None
        self._tried: float | None = None

    async def find(self, key_id: str | None) -> Key | None:
        """The key of this id; without an id, the only key there is; or ``None``.

        Raises:
            SecurityFailure: the keys cannot be had, and none are kept that are young enough.
        """
        if not self._younger(self._max_age):
            await self._refresh()
        found = self._kept(key_id)
        if found is None and await self._refresh():
            found = self._kept(key_id)
        return found

    def _kept(self, key_id: str | None) -> Key | None:
        if key_id is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.get("kid") == key_id), None)

    def _younger(self, seconds: float) -> bool:
        return self._fetched is not None and self._clock() - self._fetched < seconds

    async def _refresh(self) -> bool:
        """Whether the keys are new since the call."""
        asked = self._clock()
        async with self._lock:
            if self._fetched is not None and self._fetched > asked:
                return True  # another caller has just fetched them
            if self._tried is None or self._clock() - self._tried >= self._min_interval:
                self._tried = self._clock()
                try:
                    self._keys = _keys_of(await fetch_json(self._client, self.url))
                except SecurityFailure:
                    if not self._younger(self._stale_seconds):
                        raise
                    return False
                self._fetched = self._clock()
                return True
            if not self._younger(self._stale_seconds):
                raise SecurityFailure(f"the keys at {self.url} cannot be had at the moment")
            return False


async def fetch_json(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    """The JSON object at ``url``: no redirects, at most 1 MB, within 10 seconds.

    Raises:
        SecurityFailure: there is none.
    """
    import httpx

    try:
        async with asyncio.timeout(_SECONDS):
            request = client.build_request("GET", url, headers=_HEADERS)
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                body = await _body(response, url)
            finally:
                await response.aclose()
        value = json.loads(body)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError, TimeoutError) as error:
        why = str(error) or type(error).__name__
        raise SecurityFailure(f"{url} cannot be read: {why}") from None
    if not isinstance(value, dict):
        raise SecurityFailure(f"{url} holds no JSON object")
    return value


async def _body(response: httpx.Response, url: str) -> bytes:
    if response.status_code != 200:
        raise SecurityFailure(f"{url} answered {response.status_code}")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise SecurityFailure(f"{url} answered in an encoding that was not asked for")
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_BYTES:
            raise SecurityFailure(f"{url} holds more than {MAX_BYTES} bytes")
    return bytes(body)


def _keys_of(document: dict[str, Any]) -> tuple[Key, ...]:
    listed = document.get("keys")
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise SecurityFailure(f"a JWK set has a list of at most {MAX_KEYS} keys")
    keys: list[Key] = []
    for each in listed:
        try:
            # One by one: a key that we do not understand spoils none of the others.
            keys += KeySet.import_key_set({"keys": [each]}).keys
        except (JoseError, ValueError, TypeError, KeyError, AttributeError):
            continue
    return tuple(key for key in keys if key.key_type in {"RSA", "EC", "OKP"})
