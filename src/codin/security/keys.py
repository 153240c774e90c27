"""API keys: shown once, kept as a hash."""
# ruff: noqa: S608 - statements are put together from this module's own constants only

from __future__ import annotations

import builtins
import hashlib
import hmac
import json
import re
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

from codin.database import Database, Row, storable
from codin.errors import InvalidInputError, NotFoundError
from codin.security._schema import KEYS
from codin.security.authorizer import RoleAuthorizer
from codin.security.errors import CredentialError
from codin.security.principal import Principal
from codin.security.roles import DEFAULT_ROLES, checked_roles

KEY_PREFIX = "codin_"
MANAGE = "auth.keys"

_FORM = re.compile(r"codin_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", re.ASCII)
_SUBJECT_CHARS = 200
_COLUMNS = "id, tenant, subject, roles, scopes, note, made_by, created, expires, revoked, digest"
_INSERT = f"""INSERT INTO api_key ({_COLUMNS})
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"""
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
        return Principal(self.tenant, self.subject, self.roles, self.scopes, key=self.id)

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

    @abstractmethod
    async def standing(self, principal: Principal) -> Principal:
        """What ``principal``, who called with a key some time ago, may do now: no more than then,
        and no more than the key allows now. Who called otherwise stays as it is.

        Raises:
            CredentialError: its key is not there any more, or has expired or been revoked.
        """

    async def principal_of(self, text: str) -> Principal:
        """Who calls with this key. Raises as ``resolve`` does."""
        return (await self.resolve(text)).principal


class StoredKeys(KeyStore):
    """Keys in ``database``, which stays open when they are used no more.

    A key that was accepted is remembered for ``fresh_seconds``, so that not every request asks
    the database: what another process revokes is refused here after that time at the latest, what
    this one revokes at once.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float] = time.time,
        fresh_seconds: float = 2.0,
    ) -> None:
        self._tables = database.tables(KEYS)
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
        await self._tables.change((_INSERT, _row(key, _digest(secret))), lasting=True)
        return key, f"{KEY_PREFIX}{key.id}_{secret}"

    async def list(self, principal: Principal) -> list[ApiKey]:
        self._authorizer.require(principal, MANAGE)
        query = f"SELECT {_COLUMNS} FROM api_key WHERE tenant = %s ORDER BY created DESC, id"
        return [_key(row)[0] for row in await self._tables.rows(query, (principal.tenant,))]

    async def revoke(self, principal: Principal, key_id: str) -> ApiKey:
        self._authorizer.require(principal, MANAGE)
        statement = f"""UPDATE api_key SET revoked = coalesce(revoked, %s)
            WHERE tenant = %s AND id = %s RETURNING {_COLUMNS}"""
        found: builtins.list[Row] = []
        if storable(key_id):
            values = (self._clock(), principal.tenant, key_id)
            # A revoked key must not come back with the power.
            found = await self._tables.change((statement, values), lasting=True)
        self._fresh.pop(key_id, None)
        if not found:
            raise NotFoundError(f"there is no key {key_id[:80]!r}: see codin auth key list")
        return _key(found[0])[0]

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

    async def standing(self, principal: Principal) -> Principal:
        if not principal.key:
            return principal
        found = await self._read(principal.key) if storable(principal.key) else None
        if found is None or (found[0].tenant, found[0].subject) != (
            principal.tenant,
            principal.subject,
        ):
            raise CredentialError(f"the API key {principal.key[:80]} is not there any more")
        key = found[0]
        if problem := key.problem(self._clock()):
            raise CredentialError(f"the API key {key.id} {problem}")
        return replace(principal.narrowed(key.scopes), roles=principal.roles & key.roles)

    def _remembered(self, key_id: str) -> tuple[ApiKey, bytes] | None:
        read_at, key, digest = self._fresh.get(key_id, (0.0, None, b""))
        if key is None or not 0 <= time.monotonic() - read_at < self._fresh_seconds:
            return None
        return key, digest

    async def _read(self, key_id: str) -> tuple[ApiKey, bytes] | None:
        read_at = time.monotonic()
        found = await self._tables.rows(f"SELECT {_COLUMNS} FROM api_key WHERE id = %s", (key_id,))
        if not found:
            return None
        key, digest = _key(found[0])
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
    if not storable(request.subject, request.note):
        raise InvalidInputError(
            "the subject or the note of the key holds a character that cannot be stored (NUL or"
            " half a surrogate pair): leave it out"
        )
    if not checked_roles(request.roles):
        raise InvalidInputError("a key needs a role: without one it is allowed nothing")
    if request.seconds is not None and request.seconds <= 0:
        raise InvalidInputError("a key that expires has to live for a time")


def _digest(secret: str) -> bytes:
    # 256 random bits cannot be guessed, so a slow hash would protect nothing.
    return hashlib.sha256(secret.encode()).digest()


def _row(key: ApiKey, digest: bytes) -> Row:
    return (
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


def _key(row: Row) -> tuple[ApiKey, bytes]:
    key_id, tenant, subject, roles, scopes, *rest, digest = row
    kept = ApiKey(
        key_id, tenant, subject, frozenset(json.loads(roles)), frozenset(json.loads(scopes)), *rest
    )
    return kept, digest
