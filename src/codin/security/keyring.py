"""The platform's own signing keys: files of their own, rotated without an outage."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, KeyParameters, OKPKey

from codin.security.errors import CredentialError, SecurityFailure

Algorithm = Literal["Ed25519", "ES256"]

MAX_TOKEN_SECONDS = 900
"""No token lives longer: so long a key that signs no more is still published."""

LEEWAY_SECONDS = 30
"""How far the clocks of two machines may be apart."""

_LOOK_SECONDS = 1.0
_SETTLED_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key and when it begins to sign, in seconds since the epoch. ``made`` (nanoseconds) tells
    which of two that begin together is the younger."""

    id: str
    active: float
    made: int
    key: Key


class KeyRing:
    """Keys for one algorithm, one file a key (0600) in ``folder`` (0700), made when first needed.

    The youngest key that is active signs. A key that a younger one has followed is published and
    accepted until the last token that it may have signed is over. Other processes over the same
    folder see a rotation within a second.
    ``sign`` and ``key_of`` read a small file at most once a second.
    """

    def __init__(
        self,
        folder: Path,
        algorithm: Algorithm = "Ed25519",
        *,
        keep_seconds: float = MAX_TOKEN_SECONDS + LEEWAY_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self.algorithm: Algorithm = algorithm
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._keys: tuple[SigningKey, ...] = ()
        self._stamp: int | None = None
        self._looked = -_LOOK_SECONDS

    def signing_key(self) -> SigningKey:
        """The key that signs now."""
        now = self._clock()
        active = [key for key in self._current() if key.active <= now]
        if not active:
            self._write(now)
            active = [key for key in self._load() if key.active <= now]
        return active[-1]

    def accepted(self) -> tuple[SigningKey, ...]:
        """The keys whose signatures hold now, and those that will sign next."""
        return self._accepted_of(self._current())

    def jwks(self) -> dict[str, Any]:
        """The public halves of ``accepted``, as a JWK set."""
        self.signing_key()
        return {"keys": [key.key.as_dict(private=False) for key in self.accepted()]}

    def sign(self, claims: Mapping[str, Any], typ: str) -> str:
        """A compact JWT of ``claims``. ``typ`` keeps what is signed for one use from another."""
        signer = self.signing_key()
        header = {"alg": self.algorithm, "kid": signer.id, "typ": typ}
        return jwt.encode(header, dict(claims), signer.key, algorithms=[self.algorithm])

    def key_of(self, key_id: object) -> Key:
        """The accepted key of this id.

        Raises:
            CredentialError: there is none (any more).
        """
        for look in (False, True):
            for key in self._accepted_of(self._current(look=look)):
                if key.id == key_id:
                    return key.key
        raise CredentialError("the token was signed with a key that is not in use")

    async def rotate(self, *, lead_seconds: float = 0.0, drop_old: bool = False) -> SigningKey:
        """A new key, which signs after ``lead_seconds``: give verifiers that keep the JWKS for
        some time as much of it. With ``drop_old`` the other keys are deleted at once, and with
        them all that they have signed is refused: for a key that has leaked.

        Raises:
            SecurityFailure: the folder cannot be written.
        """
        return await asyncio.to_thread(self._rotate, 0.0 if drop_old else lead_seconds, drop_old)

    def _rotate(self, lead_seconds: float, drop_old: bool) -> SigningKey:
        if not drop_old:
            self.signing_key()  # so that there is one while the new one waits
        made = self._write(self._clock() + lead_seconds)
        keys = self._load()
        kept = {made} if drop_old else {key.id for key in self._accepted_of(keys)}
        for key in keys:
            if key.id not in kept:
                self._file(key.id).unlink(missing_ok=True)
        return next(key for key in self._load() if key.id == made)

    def _accepted_of(self, keys: tuple[SigningKey, ...]) -> tuple[SigningKey, ...]:
        followed = {key.id: after.active for key, after in pairwise(keys)}
        oldest = self._clock() - self._keep_seconds
        return tuple(key for key in keys if followed.get(key.id, oldest + 1) > oldest)

    def _current(self, *, look: bool = False) -> tuple[SigningKey, ...]:
        now = time.monotonic()
        if look or now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            try:
                stamp = self._folder.stat().st_mtime_ns
            except FileNotFoundError:
                stamp = 0
            if stamp != self._stamp:
                self._load()
                # A folder that has just changed may change again within the clock's granule.
                settled = time.time_ns() - stamp > _SETTLED_NS
                self._stamp = stamp if settled else None
        return self._keys

    def _load(self) -> tuple[SigningKey, ...]:
        keys = []
        for file in self._folder.glob("*.json"):
            with suppress(FileNotFoundError):  # another process has just deleted it
                keys.append(self._read(file))
        self._keys = tuple(sorted(keys, key=lambda key: (key.active, key.made)))
        return self._keys

    def _read(self, file: Path) -> SigningKey:
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            key = _KINDS[self.algorithm].import_key(kept["jwk"])
            return SigningKey(str(key.kid), float(kept["active"]), int(kept["made"]), key)
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError, JoseError) as error:
            raise SecurityFailure(
                f"the signing key in {file} cannot be read ({error}): put it right or delete it"
            ) from None

    def _write(self, active: float) -> str:
        key = _made(self.algorithm)
        kept = {"active": active, "made": time.time_ns(), "jwk": key.as_dict(private=True)}
        text = json.dumps(kept)
        try:
            for folder in (*reversed(self._folder.parents), self._folder):
                folder.mkdir(mode=0o700, exist_ok=True)
            descriptor, made = tempfile.mkstemp(prefix=".key.", dir=self._folder)  # 0600
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(made, self._file(str(key.kid)))
        except OSError as error:
            raise SecurityFailure(
                f"no signing key can be written to {self._folder}: {error.strerror}"
            ) from None
        return str(key.kid)

    def _file(self, key_id: str) -> Path:
        return self._folder / f"{key_id}.json"


_KINDS: Mapping[str, type[OKPKey] | type[ECKey]] = {"Ed25519": OKPKey, "ES256": ECKey}


def _made(algorithm: Algorithm) -> OKPKey | ECKey:
    use: KeyParameters = {"use": "sig", "alg": algorithm}
    key: OKPKey | ECKey
    if algorithm == "Ed25519":
        key = OKPKey.generate_key("Ed25519", use)
    else:
        key = ECKey.generate_key("P-256", use)
    key.ensure_kid()  # the thumbprint of RFC 7638
    return key


def published(*rings: KeyRing) -> dict[str, Any]:
    """One JWK set of the public keys of ``rings``, as ``/.well-known/jwks.json`` shows it."""
    return {"keys": [key for ring in rings for key in ring.jwks()["keys"]]}


def header_of(token: str) -> dict[str, Any]:
    """The header of a compact JWS, not verified.

    Raises:
        CredentialError: it is not one.
    """
    try:
        return dict(jws.extract_compact(token.encode("ascii")).headers())
    except Exception:
        # Whatever the decoder trips over: the text came from outside.
        raise CredentialError("this is no signed token") from None
