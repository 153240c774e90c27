"""API keys: shown once, kept as a hash."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from codin.errors import InvalidInputError, NotFoundError
from codin.security._database import SecurityDatabase
from codin.security.authorizer import RoleAuthorizer
from codin.security.errors import CredentialError
from codin.security.principal import Principal
from codin.security.roles import DEFAULT_ROLES, checked_roles

KEY_PREFIX = "codin_"
MANAGE = "auth.keys"

_FORM = re.compile(r"codin_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", re.ASCII)
_SUBJECT_CHARS = 200
_COLUMNS = "id, tenant, subject, roles, scopes, note, made_by, created, expires, revoked, digest"
_KEPT = 4096


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What a new key is to stand for. ``seconds`` until it expires; ``None``: never."""

    subject: str
    roles: frozenset[str]
    scopes: frozenset[str] = frozenset()
    seconds: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept and listed. Times are in seconds since the epoch."""

    id: str
    tenant: str
    subject: str
    roles: frozenset[str]
    scopes: frozenset[str]
    note: str
    made_by: str
    created: float
    expires: float | None
    revoked: float | None

    @property
    def principal(self) -> Principal:
        """Who calls with this key."""
        return Principal(self.tenant, self.subject, self.roles, self.scopes)

    def problem(self, now: float) -> str | None:
        """Why it is not accepted at ``now``, or ``None``."""
        if self.revoked is not None:
            return "has been revoked"
        if self.expires is not None and self.expires <= now:
            return "has expired"
        return None


class KeyStore(ABC):
    """The API keys of all tenants. A principal sees and changes those of its own tenant only.

    Safe to use from many tasks. Raises ``SecurityFailure`` when the store cannot be used, and
    ``ForbiddenError`` when a principal without ``auth.keys`` manages keys.
    """

    @abstractmethod
    async def add(self, principal: Principal, request: KeyRequest) -> tuple[ApiKey, str]:
        """A new key of the principal's tenant, and its text: nobody can show it a second time.

        Raises:
            InvalidInputError: the subject is empty or too long, or a role does not exist.
            ForbiddenError: the key would allow more than ``principal`` may do itself.
        """

    @abstractmethod
    async def list(self, principal: Principal) -> list[ApiKey]:
        """The keys of the principal's tenant, the latest first, revoked ones among them."""

    @abstractmethod
    async def revoke(self, principal: Principal, key_id: str) -> ApiKey:
        """End a key for good. Revoking one again changes nothing.

        Raises:
            NotFoundError: the tenant has no such key.
        """

    @abstractmethod
    async def resolve(self, text: str) -> ApiKey:
        """The key whose text this is.

        Raises:
            CredentialError: there is none, or it has expired or been revoked.
        """

    async def principal_of(self, text: str) -> Principal:
        """Who calls with this key. Raises as ``resolve`` does."""
        return (await self.resolve(text)).principal


class SQLiteKeyStore(KeyStore):
    """Keys in the security database.

    A key that was accepted is remembered for ``fresh_seconds``, so that not every request reads
    the file: what another process revokes is refused here after that time at the latest, what
    this one revokes at once.
    """

    def __init__(
        self,
        database: SecurityDatabase,
        *,
        clock: Callable[[], float] = time.time,
        fresh_seconds: float = 2.0,
    ) -> None:
        self._database = database
        self._authorizer = RoleAuthorizer(DEFAULT_ROLES)
        self._clock = clock
        self._fresh_seconds = fresh_seconds
        self._fresh: dict[str, tuple[float, ApiKey, bytes]] = {}

    async def add(self, principal: Principal, request: KeyRequest) -> tuple[ApiKey, str]:
        self._authorizer.require(principal, MANAGE)
        _check(request)
        scopes = request.scopes or principal.scopes
        self._authorizer.require_no_more(principal, request.roles, scopes)
        now = self._clock()
        key = ApiKey(
            id=secrets.token_hex(8),
            tenant=principal.tenant,
            subject=request.subject,
            roles=request.roles,
            scopes=scopes,
            note=request.note,
            made_by=principal.subject,
            created=now,
            expires=None if request.seconds is None else now + request.seconds,
            revoked=None,
        )
        secret = secrets.token_urlsafe(32)
        await self._database.run(
            lambda connection: _insert(connection, key, _digest(secret)), lasting=True
        )
        return key, f"{KEY_PREFIX}{key.id}_{secret}"

    async def list(self, principal: Principal) -> list[ApiKey]:
        self._authorizer.require(principal, MANAGE)
        query = f"SELECT {_COLUMNS} FROM api_key WHERE tenant = ? ORDER BY created DESC, id"  # noqa: S608 - a constant
        rows = await self._database.run(
            lambda connection: connection.execute(query, (principal.tenant,)).fetchall()
        )
        return [_key(row)[0] for row in rows]

    async def revoke(self, principal: Principal, key_id: str) -> ApiKey:
        self._authorizer.require(principal, MANAGE)
        update = "UPDATE api_key SET revoked = ifnull(revoked, ?) WHERE tenant = ? AND id = ?"
        query = f"SELECT {_COLUMNS} FROM api_key WHERE tenant = ? AND id = ?"  # noqa: S608 - a constant

        def work(connection: sqlite3.Connection) -> Any:
            connection.execute(update, (self._clock(), principal.tenant, key_id))
            return connection.execute(query, (principal.tenant, key_id)).fetchone()

        # A revoked key must not come back with the power.
        row = await self._database.run(work, lasting=True)
        self._fresh.pop(key_id, None)
        if row is None:
            raise NotFoundError(f"there is no key {key_id!r}: see codin auth key list")
        return _key(row)[0]

    async def resolve(self, text: str) -> ApiKey:
        form = _FORM.fullmatch(text)
        if form is None:
            raise CredentialError("this is no API key of codin")
        key_id, secret = form.groups()
        found = self._remembered(key_id) or await self._read(key_id)
        # A key that is not there is compared too, so that the time taken does not tell.
        key, digest = found or (None, b"")
        same = hmac.compare_digest(digest, _digest(secret))
        if key is None or not same:
            raise CredentialError("the API key is not known")
        if problem := key.problem(self._clock()):
            raise CredentialError(f"the API key {key.id} {problem}")
        return key

    def _remembered(self, key_id: str) -> tuple[ApiKey, bytes] | None:
        read_at, key, digest = self._fresh.get(key_id, (0.0, None, b""))
        if key is None or not 0 <= time.monotonic() - read_at < self._fresh_seconds:
            return None
        return key, digest

    async def _read(self, key_id: str) -> tuple[ApiKey, bytes] | None:
        query = f"SELECT {_COLUMNS} FROM api_key WHERE id = ?"  # noqa: S608 - a constant
        read_at = time.monotonic()
        row = await self._database.run(
            lambda connection: connection.execute(query, (key_id,)).fetchone()
        )
        if row is None:
            return None
        key, digest = _key(row)
        if key.revoked is None:
            if len(self._fresh) >= _KEPT:
                self._fresh.clear()
            self._fresh[key_id] = (read_at, key, digest)
        return key, digest


def _check(request: KeyRequest) -> None:
    if not request.subject.strip() or len(request.subject) > _SUBJECT_CHARS:
        raise InvalidInputError(
            f"a key needs a subject of 1 to {_SUBJECT_CHARS} characters: who will use it"
        )
    if not checked_roles(request.roles):
        raise InvalidInputError("a key needs a role: without one it is allowed nothing")
    if request.seconds is not None and request.seconds <= 0:
        raise InvalidInputError("a key that expires has to live for a time")


def _digest(secret: str) -> bytes:
    # 256 random bits cannot be guessed, so a slow hash would protect nothing.
    return hashlib.sha256(secret.encode()).digest()


def _insert(connection: sqlite3.Connection, key: ApiKey, digest: bytes) -> None:
    row = (
        key.id,
        key.tenant,
        key.subject,
        json.dumps(sorted(key.roles)),
        json.dumps(sorted(key.scopes)),
        key.note,
        key.made_by,
        key.created,
        key.expires,
        key.revoked,
        digest,
    )
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO api_key ({_COLUMNS}) VALUES ({marks})", row)  # noqa: S608 - constants


def _key(row: tuple[Any, ...]) -> tuple[ApiKey, bytes]:
    key_id, tenant, subject, roles, scopes, *rest, digest = row
    kept = ApiKey(
        key_id, tenant, subject, frozenset(json.loads(roles)), frozenset(json.loads(scopes)), *rest
    )
    return kept, digest
