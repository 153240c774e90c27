"""Notifications sent by HTTP (A2A 1.0, section 4.3.3)."""

from __future__ import annotations

import asyncio
import base64
import time
from email.utils import parsedate_to_datetime

import httpx

from codin import __version__
from codin.errors import CodinError
from codin.task.push.base import Notification, PushConfig, PushSender, UrlGuard
from codin.task.push.errors import DeliveryFailed
from codin.task.push.signing import BodySigner

MEDIA_TYPE = "application/a2a+json"
TOKEN_HEADER = "X-A2A-Notification-Token"  # noqa: S105 - the name of a header
EVENT_HEADER = "X-Codin-Event-Id"
SIGNATURE_HEADER = "X-Codin-Signature"

TIMEOUT_SECONDS = 10.0
_PASSING = frozenset({408, 425, 429})
"""Refusals that say that a later attempt may be taken; so does every 5xx (RFC 9110)."""
_READ_BYTES = 16 * 1024
"""What is read of an answer, so that its connection can be used again; the rest is left."""


class HttpPushSender(PushSender):
    """Posts notifications to where ``guard`` lets it, signed when there is a ``signer``.

    An attempt has ``timeout`` seconds as a whole. Redirects are not followed: who gave the url did
    not give the other one, and what authenticates us is not for it. ``transport`` replaces the
    way to the network, by one that connects only to addresses that were checked.
    """

    def __init__(
        self,
        guard: UrlGuard,
        *,
        signer: BodySigner | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._guard = guard
        self._signer = signer
        self._timeout = timeout
        # What the environment says of proxies and passwords is for the operator's own requests.
        self._client = httpx.AsyncClient(
            transport=transport,
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,
            # Who calls decides how many attempts there are at once: none waits for another here.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
        )

    async def send(self, config: PushConfig, notification: Notification) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._attempt(config, notification)
        except TimeoutError as error:
            raise DeliveryFailed(
                f"no answer within {self._timeout:g} seconds", passing=True
            ) from error
        except DeliveryFailed:
            raise
        except CodinError as error:
            # A name may resolve again in a moment; what is refused for good uses up its attempts.
            raise DeliveryFailed(f"the url was refused: {error}", passing=True) from error
        except httpx.InvalidURL as error:
            raise DeliveryFailed(f"the url cannot be used: {error}", passing=False) from error
        except (httpx.HTTPError, OSError) as error:
            kind = type(error).__name__
            raise DeliveryFailed(f"the receiver was not reached ({kind})", passing=True) from error

    async def close(self) -> None:
        await self._client.aclose()

    async def _attempt(self, config: PushConfig, notification: Notification) -> None:
        await self._guard.check(config.url)
        headers = self._headers(config, notification)
        async with self._client.stream(
            "POST", config.url, content=notification.body, headers=headers
        ) as response:
            if not response.is_success:
                raise _refusal(response)
            await _drain(response)

    def _headers(self, config: PushConfig, notification: Notification) -> dict[str, str]:
        headers = {
            "Content-Type": MEDIA_TYPE,
            "A2A-Version": "1.0",
            "User-Agent": f"codin/{__version__}",
            EVENT_HEADER: notification.event_id,
        }
        if config.token:
            headers[TOKEN_HEADER] = config.token
        if config.scheme and config.credentials:
            headers["Authorization"] = _authorization(config.scheme, config.credentials)
        if self._signer is not None:
            headers[SIGNATURE_HEADER] = self._signer.sign(
                notification.body, audience=config.url, event_id=notification.event_id
            )
        return headers


def _authorization(scheme: str, credentials: str) -> str:
    if scheme.lower() == "basic":
        # A colon is none of base64's characters: with one, it is user and password as they are.
        if ":" in credentials:
            credentials = base64.b64encode(credentials.encode()).decode()
        return f"Basic {credentials}"
    return f"Bearer {credentials}"


async def _drain(response: httpx.Response) -> None:
    read = 0
    async for chunk in response.aiter_raw():
        read += len(chunk)
        if read > _READ_BYTES:
            return


def _refusal(response: httpx.Response) -> DeliveryFailed:
    status = response.status_code
    if response.is_redirect:
        return DeliveryFailed(
            f"the receiver answered {status}, to go elsewhere, and redirects are not followed:"
            " give the url that it points to",
            passing=False,
            status=status,
        )
    passing = status in _PASSING or response.is_server_error
    return DeliveryFailed(
        f"the receiver answered {status}",
        passing=passing,
        status=status,
        retry_after=_retry_after(response.headers.get("Retry-After")) if passing else None,
    )


def _retry_after(value: str | None) -> float | None:
    """Seconds from now, of either form of the header (RFC 9110, section 10.2.3)."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value) if len(value) < 10 else None
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
