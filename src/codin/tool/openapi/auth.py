"""What lets the platform in at an API: credentials for the schemes that its document names."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from codin.security import OutgoingGuard
from codin.security.credentials import ApiKey, Basic, Bearer, ClientCredentials, Credential
from codin.security.secrets import SecretRef, hide
from codin.tool.base import ToolFailed
from codin.tool.openapi.document import Document
from codin.tool.openapi.operation import Requirement

_TOKEN_SECONDS = 300.0
"""How long a token is taken to be good whose server does not say."""
_EARLY_SECONDS = 30.0
_MOST_TOKEN_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """What goes into a request. ``secrets`` are hidden from whatever is said of it."""

    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    cookies: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()


class _Scheme(ABC):
    """One scheme with its credential."""

    @abstractmethod
    async def entry(self, scopes: Sequence[str]) -> Entry: ...

    def refused(self) -> bool:
        """Told that what was given is not good any more; says whether there may be another."""
        return False


class _Key(_Scheme):
    def __init__(self, place: str, name: str, key: ApiKey) -> None:
        self._place, self._name, self._key = place, name, key

    async def entry(self, scopes: Sequence[str]) -> Entry:
        value = await self._key.value.read()
        pair = ((self._name, value),)
        match self._place:
            case "query":
                return Entry(query=pair, secrets=(value,))
            case "cookie":
                return Entry(cookies=pair, secrets=(value,))
        return Entry(headers=pair, secrets=(value,))


class _Token(_Scheme):
    def __init__(self, token: SecretRef, scheme: str = "Bearer") -> None:
        self._token, self._scheme = token, scheme

    async def entry(self, scopes: Sequence[str]) -> Entry:
        token = await self._token.read()
        return Entry(headers=(("Authorization", f"{self._scheme} {token}"),), secrets=(token,))


class _Password(_Scheme):
    def __init__(self, basic: Basic) -> None:
        self._basic = basic

    async def entry(self, scopes: Sequence[str]) -> Entry:
        password = await self._basic.password.read()
        pair = b64encode(f"{self._basic.username}:{password}".encode()).decode()
        header = ("Authorization", f"Basic {pair}")
        return Entry(headers=(header,), secrets=(password, pair))


class _Client(_Scheme):
    """Tokens by the client-credentials grant, one for each set of scopes, fetched once."""

    def __init__(
        self,
        credential: ClientCredentials,
        token_url: str,
        guard: OutgoingGuard,
        clock: Callable[[], float],
    ) -> None:
        self._credential = credential
        self._url = token_url
        self._guard = guard
        self._clock = clock
        self._fetching = asyncio.Lock()
        self._tokens: dict[tuple[str, ...], tuple[str, float]] = {}

    async def entry(self, scopes: Sequence[str]) -> Entry:
        wanted = tuple(scopes if self._credential.scopes is None else self._credential.scopes)
        async with self._fetching:
            token, ends = self._tokens.get(wanted, ("", 0.0))
            if ends <= self._clock():
                token, ends = await self._fetched(wanted)
                self._tokens[wanted] = token, ends
        return Entry(headers=(("Authorization", f"Bearer {token}"),), secrets=(token,))

    def refused(self) -> bool:
        had = bool(self._tokens)
        self._tokens.clear()
        return had

    async def _fetched(self, scopes: tuple[str, ...]) -> tuple[str, float]:
        secret = await self._credential.client_secret.read()
        form = {"grant_type": "client_credentials"}
        if scopes:
            form["scope"] = " ".join(scopes)
        try:
            async with self._guard.client() as client:
                answer = await client.post(
                    self._url, data=form, auth=(self._credential.client_id, secret)
                )
        except httpx.HTTPError as error:
            raise ToolFailed(f"no token can be had from {self._url}: {error!r}") from error
        return self._token_of(answer, secret)

    def _token_of(self, answer: httpx.Response, secret: str) -> tuple[str, float]:
        try:
            said: Any = answer.json() if len(answer.content) <= _MOST_TOKEN_BYTES else None
        except ValueError:
            said = None
        token = said.get("access_token") if isinstance(said, dict) else None
        if answer.is_error or not isinstance(token, str) or not token:
            told = hide(answer.text[:200], [secret])
            raise ToolFailed(
                f"{self._url} gives no token (status {answer.status_code}): {told}; look at the "
                "client_id and its secret in codin.toml"
            )
        seconds = said.get("expires_in")
        lasts = float(seconds) if isinstance(seconds, int | float) else _TOKEN_SECONDS
        return token, self._clock() + max(lasts - _EARLY_SECONDS, lasts / 2)


class Credentials:
    """The credentials for the schemes of one document.

    Args:
        place: where they are in ``codin.toml``, for messages.
        given: by the names of the schemes.
    """

    def __init__(
        self,
        document: Document,
        given: Mapping[str, Credential],
        guard: OutgoingGuard,
        *,
        place: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place = place
        self._guard = guard
        self._clock = clock
        self._known = document.section("components", "securitySchemes")
        self._schemes: dict[str, _Scheme] = {}
        self.problems: list[str] = []
        for name, credential in given.items():
            self._take(document, name, credential)

    def way(self, ways: Sequence[Requirement]) -> Requirement | None:
        """The first of ``ways`` that there are credentials for; none where nothing is asked for.

        Raises:
            ToolFailed: there are none for any of them.
        """
        if not ways:
            return None
        for way in ways:
            if all(name in self._schemes for name, _ in way.schemes):
                return way
        wanted = " or ".join(
            " and ".join(name for name, _ in way.schemes) for way in ways if way.schemes
        )
        first = ways[0].schemes[0][0]
        raise ToolFailed(
            f"the API wants to know who asks ({wanted}), and there is nothing to tell it: have the "
            f"operator add [{self._place}.credentials.{first}] to codin.toml"
        )

    async def entries(self, way: Requirement | None) -> list[Entry]:
        """What goes into a request for ``way``.

        Raises:
            ToolFailed: a token cannot be had.
            SecretMissing: a secret is not where it should be.
        """
        schemes = way.schemes if way is not None else ()
        return [await self._schemes[name].entry(scopes) for name, scopes in schemes]

    def refused(self, way: Requirement | None) -> bool:
        """Told that ``way`` was not let in; says whether to try again with other tokens."""
        schemes = way.schemes if way is not None else ()
        told = [self._schemes[name].refused() for name, _ in schemes]
        return any(told)

    def _take(self, document: Document, name: str, credential: Credential) -> None:
        raw = self._known.get(name)
        scheme = document.followed(raw) if raw is not None else None
        if not isinstance(scheme, Mapping):
            known = ", ".join(self._known) or "none"
            self.problems.append(
                f"[{self._place}.credentials.{name}]: the document has no such scheme; it has: "
                f"{known}"
            )
            return
        made = self._made(scheme, credential)
        if made is None:
            self.problems.append(
                f"[{self._place}.credentials.{name}]: {credential.kind} does not fit the scheme, "
                f"which is {scheme.get('type')} {scheme.get('scheme', '')}".rstrip()
            )
            return
        self._schemes[name] = made

    def _made(self, scheme: Mapping[str, Any], credential: Credential) -> _Scheme | None:
        kind, http = str(scheme.get("type")), str(scheme.get("scheme", "")).lower()
        match credential:
            case ApiKey() if kind == "apiKey":
                return _Key(str(scheme.get("in")), str(scheme.get("name")), credential)
            case Basic() if kind == "http" and http == "basic":
                return _Password(credential)
            case Bearer() if kind in {"oauth2", "openIdConnect"} or (
                kind == "http" and http != "basic"
            ):
                return _Token(credential.token, "Bearer" if http in {"", "bearer"} else http)
            case ClientCredentials() if kind == "oauth2":
                flows = scheme.get("flows")
                flow = flows.get("clientCredentials") if isinstance(flows, Mapping) else None
                stated = flow.get("tokenUrl") if isinstance(flow, Mapping) else None
                url = credential.token_url or stated
                if isinstance(url, str):
                    return _Client(credential, url, self._guard, self._clock)
        return None
