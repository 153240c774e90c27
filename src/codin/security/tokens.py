"""Tokens of this platform: JWTs that live for minutes, for one audience, and only get narrower."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry

from codin.errors import InvalidInputError
from codin.security.errors import CredentialError, ForbiddenError
from codin.security.keyring import LEEWAY_SECONDS, MAX_TOKEN_SECONDS, KeyRing, header_of
from codin.security.principal import Principal
from codin.security.scopes import checked_scopes, covered

TOKEN_TYPE = "at+jwt"  # noqa: S105 - RFC 9068, section 2.1
MAX_TOKEN_CHARS = 16_384

_ACTORS = 8
_REMEMBERED = 1024
_EXPIRED = "the token has expired: ask for a new one"


@dataclass(frozen=True, slots=True)
class Token:
    """What a verified token says.

    ``actors`` acted for the principal, the nearest first (the ``act`` claim of RFC 8693, section
    4.1). Times are in seconds since the epoch.
    """

    principal: Principal
    id: str
    issuer: str
    audience: str
    issued: int
    expires: int
    actors: tuple[str, ...] = ()


class TokenVerifier:
    """Tokens of one issuer for one audience, signed with the keys of ``ring``.

    A token that held is remembered, so that its next request costs no signature: its end and its
    key are looked at each time.
    """

    def __init__(
        self,
        ring: KeyRing,
        *,
        issuer: str,
        audience: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.issuer = issuer
        self.audience = audience
        self._ring = ring
        self._clock = clock
        self._held: dict[bytes, tuple[object, Token]] = {}

    def verify(self, token: str) -> Token:
        """What ``token`` says.

        Raises:
            CredentialError: it is malformed, forged, expired, not valid yet, from another issuer
                or for another audience.
        """
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        held = self._held.get(digest)
        if held is not None:
            key_id, said = held
            self._ring.key_of(key_id)
            return _in_time(said, self._clock())
        header = access_header(token)
        said = verified(
            token,
            self._ring.key_of(header.get("kid")),
            self._ring.algorithm,
            issuer=self.issuer,
            audience=self.audience,
            now=self._clock(),
        )
        if len(self._held) >= _REMEMBERED:
            self._held.clear()
        self._held[digest] = (header.get("kid"), said)
        return said


def access_header(token: str) -> dict[str, Any]:
    """The header of an access token, not verified.

    Raises:
        CredentialError: it is too long, or is none.
    """
    if len(token) > MAX_TOKEN_CHARS:
        raise CredentialError(f"the token is longer than {MAX_TOKEN_CHARS} characters")
    header = header_of(token)
    if str(header.get("typ", "")).lower() != TOKEN_TYPE:
        raise CredentialError("this is no access token")
    return header


def verified(
    token: str, key: Key, algorithm: str, *, issuer: str, audience: str, now: float
) -> Token:
    """What ``token``, signed with ``key`` by ``issuer`` for ``audience``, says at ``now``.

    Raises:
        CredentialError: as ``TokenVerifier.verify`` does.
    """
    claims = jwt.JWTClaimsRegistry(
        now=int(now),
        # The clock of who made it may be ahead of this one.
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": audience},
        sub={"essential": True},
        exp={"essential": True},
        nbf={"essential": True},
        iat={"essential": True},
        jti={"essential": True},
    )
    try:
        decoded = jwt.decode(
            token, key, algorithms=[algorithm], registry=JWSRegistry(algorithms=[algorithm])
        )
        claims.validate(decoded.claims)
    except ExpiredTokenError:
        raise CredentialError(_EXPIRED) from None
    except (JoseError, ValueError, TypeError) as error:
        raise CredentialError(f"the token is not valid here: {error}") from None
    return _in_time(_token(decoded.claims), now)


def _in_time(said: Token, now: float) -> Token:
    if said.expires <= now:  # no leeway here: minutes are meant
        raise CredentialError(_EXPIRED)
    return said


class TokenIssuer:
    """Gives out tokens, and exchanges them for narrower ones (RFC 8693) for other audiences.

    ``issuer`` names this platform; it is also the audience of the tokens that it takes itself.
    """

    def __init__(
        self, ring: KeyRing, *, issuer: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._ring = ring
        self._issuer = issuer
        self._clock = clock

    def verifier(self, audience: str | None = None) -> TokenVerifier:
        """What verifies this issuer's tokens for ``audience`` (its own when not given)."""
        return TokenVerifier(
            self._ring,
            issuer=self._issuer,
            audience=audience or self._issuer,
            clock=self._clock,
        )

    def issue(
        self, principal: Principal, *, audience: str | None = None, seconds: float = 300
    ) -> str:
        """A token by which its bearer is ``principal`` at ``audience``.

        Raises:
            InvalidInputError: ``seconds`` is below 1 or above 900.
        """
        return self._signed(principal, audience or self._issuer, self._until(seconds), ())

    def exchange(
        self,
        subject: str | Principal | Token,
        *,
        audience: str,
        scopes: frozenset[str],
        actor: str,
        seconds: float = 120,
    ) -> str:
        """A token for ``audience`` that is allowed ``scopes`` and no more, for ``actor`` to act
        with in the name of ``subject``. It is over when the token it was made from is.

        Raises:
            CredentialError: ``subject`` is a token that is not valid here.
            ForbiddenError: ``subject`` is not allowed all of ``scopes``, or has been handed on
                more than 8 times.
            InvalidInputError: there are no scopes, or one has a wrong form, or ``seconds`` is
                below 1 or above 900.
        """
        if not checked_scopes(scopes):
            raise InvalidInputError("a token is exchanged for named scopes, not for all there is")
        token = self.verifier().verify(subject) if isinstance(subject, str) else subject
        principal, actors = _held(token)
        if principal.scopes and not covered(principal.scopes, scopes):
            raise ForbiddenError(
                f"{principal.subject} of tenant {principal.tenant} cannot hand on more than "
                f"its scopes: {', '.join(sorted(principal.scopes))}"
            )
        if len(actors) >= _ACTORS:
            raise ForbiddenError(f"the token has been handed on {_ACTORS} times: no further")
        expires = self._until(seconds)
        if isinstance(token, Token):
            expires = min(expires, token.expires)
        narrowed = Principal(principal.tenant, principal.subject, principal.roles, scopes)
        return self._signed(narrowed, audience, expires, (actor, *actors))

    def _until(self, seconds: float) -> int:
        if not 1 <= seconds <= MAX_TOKEN_SECONDS:
            raise InvalidInputError(
                f"a token lives 1 to {MAX_TOKEN_SECONDS} seconds, not {seconds:g}"
            )
        return int(self._clock() + seconds)

    def _signed(
        self, principal: Principal, audience: str, expires: int, actors: tuple[str, ...]
    ) -> str:
        now = int(self._clock())
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": audience,
            "sub": principal.subject,
            "tenant": principal.tenant,
            "roles": sorted(principal.roles),
            "scopes": sorted(principal.scopes),
            "iat": now,
            "nbf": now,
            "exp": expires,
            "jti": secrets.token_urlsafe(16),
        }
        if actors:
            claims["act"] = _nested(actors)
        return self._ring.sign(claims, TOKEN_TYPE)


def _held(subject: Principal | Token) -> tuple[Principal, tuple[str, ...]]:
    principal = subject if isinstance(subject, Principal) else subject.principal
    return principal, subject.actors


def _nested(actors: tuple[str, ...]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for actor in reversed(actors):
        nested = {"sub": actor, "act": nested} if nested else {"sub": actor}
    return nested


def _token(claims: Mapping[str, Any]) -> Token:
    try:
        return Token(
            Principal(
                _text(claims["tenant"]),
                _text(claims["sub"]),
                _texts(claims["roles"]),
                _texts(claims["scopes"]),
            ),
            id=_text(claims["jti"]),
            issuer=_text(claims["iss"]),
            audience=_text(claims["aud"]),
            issued=int(claims["iat"]),
            expires=int(claims["exp"]),
            actors=_unnested(claims.get("act")),
        )
    except (KeyError, TypeError, ValueError):
        raise CredentialError("the token lacks a claim, or has one of a wrong type") from None


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value


def _texts(value: object) -> frozenset[str]:
    if not isinstance(value, list):
        raise TypeError
    return frozenset(_text(each) for each in value)


def _unnested(act: object) -> tuple[str, ...]:
    actors: list[str] = []
    while act is not None:
        if not isinstance(act, dict) or len(actors) >= _ACTORS:
            raise TypeError
        actors.append(_text(act["sub"]))
        act = act.get("act")
    return tuple(actors)
