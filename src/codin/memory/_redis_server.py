"""The way to a Redis or Valkey server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlsplit

from codin.memory._checks import checked_scope, checked_text
from codin.memory.errors import MemoryFailure
from codin.security import Scope

if TYPE_CHECKING:
    from redis.asyncio import Redis

_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 30.0
_WAIT_SECONDS = 30.0
"""How long a call waits for a free connection."""

KEYS = "codin:memory:"
"""What all keys begin with."""


class RedisServer:
    """A pool of connections to the server at ``url``, opened by the first call. Every call raises
    ``MemoryFailure`` when the server cannot be used."""

    def __init__(self, url: str, *, connections: int) -> None:
        self._url = url
        self._connections = connections
        self.place = _place(url)
        self._client: Redis | None = None
        self._opening = asyncio.Lock()
        self._closed = False

    async def run(self, script: str, base: str, *values: str | bytes | float) -> Any:
        """What a script of the server's Lua gives, about the keys that begin with ``base``."""
        from redis.exceptions import RedisError

        client = await self._opened()
        try:
            return await client.register_script(script)([base], values)
        except (RedisError, OSError) as error:
            raise self._failure("cannot be used", error) from error

    async def call(self, command: str, *values: str | bytes | float) -> Any:
        """What one command gives."""
        from redis.exceptions import RedisError

        client = await self._opened()
        try:
            return await cast("Any", client).execute_command(command, *values)
        except (RedisError, OSError) as error:
            raise self._failure("cannot be used", error) from error

    async def close(self) -> None:
        """Use it no more. Closing twice does nothing."""
        self._closed = True
        async with self._opening:
            client, self._client = self._client, None
            if client is not None:
                await client.aclose()

    async def _opened(self) -> Redis:
        if self._closed:
            raise MemoryFailure("the memory is closed")
        if self._client is None:
            async with self._opening:
                if self._client is None:
                    self._client = await self._open()
        return self._client

    async def _open(self) -> Redis:
        try:
            from redis.asyncio import BlockingConnectionPool, Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
            from redis.exceptions import NoPermissionError, RedisError
        except ModuleNotFoundError as error:
            raise MemoryFailure(
                "memory in Redis or Valkey needs a client: pip install 'codin[redis]'"
            ) from error
        try:
            pool = BlockingConnectionPool.from_url(
                self._url,
                max_connections=self._connections,
                timeout=_WAIT_SECONDS,
                socket_connect_timeout=_CONNECT_SECONDS,
                socket_timeout=_ANSWER_SECONDS,
                protocol=2,
                # A call whose answer was lost may have been done: it is not for us to do it again.
                retry=Retry(NoBackoff(), 0),
            )
        except (ValueError, TypeError) as error:
            # What it says may have a password in it.
            raise MemoryFailure(
                "the memory's address is none of a server: give redis://user:password@host:6379/0, "
                "rediss:// for TLS, or unix:///path/of/its.sock"
            ) from error
        client = Redis.from_pool(pool)
        try:
            used = await client.info("memory")
            if used.get("maxmemory") and str(used.get("maxmemory_policy")).startswith("allkeys"):
                raise MemoryFailure(
                    f"the server at {self.place} drops what it likes when its memory is full "
                    f"(maxmemory-policy {used['maxmemory_policy']}): set it to noeviction"
                )
        except NoPermissionError:
            pass  # who may not look is not told
        except (RedisError, OSError) as error:
            await client.aclose()
            raise self._failure("cannot be opened", error) from error
        except BaseException:
            await client.aclose()
            raise
        return client

    def _failure(self, what: str, error: Exception) -> MemoryFailure:
        why = str(error) or type(error).__name__
        return MemoryFailure(f"the memory in {self.place} {what}: {why}")


def base_of(scope: Scope) -> str:
    """What all keys of the user of ``scope`` begin with.

    Raises:
        InvalidInputError: a name of it is no text.
    """
    checked_scope(scope)
    for name in (scope.tenant, scope.user, scope.agent, scope.session):
        checked_text(name or "", "a scope's name")
    return f"{KEYS}{{{quote(scope.tenant, safe='')}/{quote(scope.user, safe='')}}}:"


def narrowed(scope: Scope) -> tuple[str, str]:
    """What the scripts take for agent and session: empty is all."""
    return scope.agent or "", scope.session or ""


def _place(url: str) -> str:
    """What an error may say of ``url``: no password."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "unix":
            return f"Redis at {parts.path}"
        return f"Redis on {parts.hostname}:{parts.port or 6379}"
    except ValueError:
        return "Redis"
