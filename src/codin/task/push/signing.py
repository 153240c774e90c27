"""Signed notifications: a receiver can tell who sent a body, and that it is unchanged.

The signature is a JWT (RFC 7519) with ``alg`` Ed25519 (RFC 9864) whose claims are ``iss``, ``aud``
(the url as it stands in the config), ``iat``, ``exp``, ``jti`` (the event's id) and
``request_body_sha256`` (of the body's bytes, in hexadecimal).
"""

from __future__ import annotations

import hashlib
import hmac
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from codin.task.push.errors import SignatureRefused

if TYPE_CHECKING:
    from joserfc.jwk import KeySet, OKPKey

ALGORITHM = "Ed25519"
DIGEST = "request_body_sha256"
SIGNATURE_SECONDS = 300.0


class BodySigner(ABC):
    """Signs what is sent."""

    @abstractmethod
    def sign(self, body: bytes, *, audience: str, event_id: str) -> str:
        """A compact JWT over ``body``, valid for minutes, for the receiver at ``audience``."""


class Ed25519BodySigner(BodySigner):
    """Signs with the private ``key``; its ``kid``, or its thumbprint, names it to receivers.

    ``issuer`` is the platform's own address, under which they find its public keys. ``seconds`` is
    how long a signature is valid.
    """

    def __init__(
        self,
        key: OKPKey,
        issuer: str,
        *,
        seconds: float = SIGNATURE_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key = key
        self._header = {"alg": ALGORITHM, "kid": key.kid or key.thumbprint()}
        self._issuer = issuer
        self._seconds = seconds
        self._clock = clock

    def sign(self, body: bytes, *, audience: str, event_id: str) -> str:
        from joserfc import jwt

        now = int(self._clock())
        claims = {
            "iss": self._issuer,
            "aud": audience,
            "iat": now,
            "exp": now + int(self._seconds),
            "jti": event_id,
            DIGEST: hashlib.sha256(body).hexdigest(),
        }
        return jwt.encode(self._header, claims, self._key, algorithms=[ALGORITHM])


def verify_body(
    signature: str,
    body: bytes,
    keys: OKPKey | KeySet,
    *,
    audience: str,
    issuer: str,
    now: float | None = None,
    leeway: float = 30.0,
) -> dict[str, Any]:
    """What a receiver does: the claims of ``signature`` when it is one of ``body``, made by
    ``issuer`` for ``audience`` with one of ``keys``. ``leeway`` is in seconds.

    Raises:
        SignatureRefused: it is not, or is too old.
    """
    from joserfc import jwt
    from joserfc.errors import JoseError

    exact = jwt.JWTClaimsRegistry(
        now=int(time.time() if now is None else now),
        leeway=int(leeway),
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": audience},
        exp={"essential": True},
        iat={"essential": True},
        jti={"essential": True},
    )
    try:
        claims: dict[str, Any] = jwt.decode(signature, keys, algorithms=[ALGORITHM]).claims
        exact.validate(claims)
    except (JoseError, ValueError) as error:
        raise SignatureRefused(f"the notification's signature does not hold: {error}") from error
    if not hmac.compare_digest(str(claims.get(DIGEST)), hashlib.sha256(body).hexdigest()):
        raise SignatureRefused("the notification's body is not the one that was signed")
    return claims
