"""Signed notifications: a receiver can tell who sent a body, and that it is unchanged.

The signature is a JWT (RFC 7519) with ``alg`` Ed25519 (RFC 9864) whose claims are ``iss``, ``aud``
(the url as it stands in the config), ``iat``, ``nbf``, ``exp``, ``jti`` (the event's id) and
``request_body_sha256`` (of the body's bytes, in hexadecimal).
"""

from __future__ import annotations

import hashlib
import hmac
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from codin.task.push.errors import SignatureRefused

if TYPE_CHECKING:
    from joserfc.jwk import KeySet, OKPKey

ALGORITHM = "Ed25519"
TYPE = "push+jwt"
"""The header's ``typ``, so that no signature is taken for a token that lets in (RFC 8725, 3.11)."""
DIGEST = "request_body_sha256"
SIGNATURE_SECONDS = 300.0


class BodySigner(ABC):
    """Signs what is sent."""

    @abstractmethod
    def sign(self, body: bytes, *, audience: str, event_id: str) -> str:
        """A compact JWT over ``body``, valid for minutes, for the receiver at ``audience``."""


class ClaimsSigner(Protocol):
    """Keys that sign claims, such as the platform's ring of keys, which rotates them."""

    def sign(self, claims: Mapping[str, Any], typ: str) -> str:
        """A compact JWT of ``claims``, whose header has ``typ`` and names the key by ``kid``."""


class JwtBodySigner(BodySigner):
    """Signs with ``keys``. ``issuer`` is the platform's own address, under which receivers find the
    public keys; ``seconds`` is how long a signature is valid."""

    def __init__(
        self,
        keys: ClaimsSigner,
        issuer: str,
        *,
        seconds: float = SIGNATURE_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._seconds = seconds
        self._clock = clock

    def sign(self, body: bytes, *, audience: str, event_id: str) -> str:
        now = int(self._clock())
        claims = {
            "iss": self._issuer,
            "aud": audience,
            "iat": now,
            "nbf": now,
            "exp": now + int(self._seconds),
            "jti": event_id,
            DIGEST: hashlib.sha256(body).hexdigest(),
        }
        return self._keys.sign(claims, TYPE)


class Ed25519Key:
    """One private key as ``ClaimsSigner``; its ``kid``, or its thumbprint, names it."""

    def __init__(self, key: OKPKey) -> None:
        self._key = key
        self._id = key.kid or key.thumbprint()

    def sign(self, claims: Mapping[str, Any], typ: str) -> str:
        """A compact JWT of ``claims``."""
        from joserfc import jwt

        header = {"alg": ALGORITHM, "kid": self._id, "typ": typ}
        return jwt.encode(header, dict(claims), self._key, algorithms=[ALGORITHM])


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
    ``issuer`` for ``audience`` with one of ``keys``, which are public ones. ``leeway`` is in
    seconds.

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
        token = jwt.decode(signature, keys, algorithms=[ALGORITHM])
        claims: dict[str, Any] = token.claims
        exact.validate(claims)
    except (JoseError, ValueError) as error:
        raise SignatureRefused(f"the notification's signature does not hold: {error}") from error
    if token.header.get("typ") != TYPE:
        raise SignatureRefused("the signature is a token for something else")
    if not hmac.compare_digest(str(claims.get(DIGEST)), hashlib.sha256(body).hexdigest()):
        raise SignatureRefused("the notification's body is not the one that was signed")
    return claims
