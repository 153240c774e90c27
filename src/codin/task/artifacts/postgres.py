"""Contents in a table of Postgres: every gateway over the database has them."""

from __future__ import annotations

import asyncio

from codin.database.postgres import PostgresDatabase
from codin.task.artifacts._schema import ARTIFACTS
from codin.task.artifacts.base import ArtifactStore, check_digest, digest_of, verified
from codin.task.errors import UnknownArtifact


class PostgresArtifacts(ArtifactStore):
    """The contents in ``database``, which stays open."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._tables = database.tables(ARTIFACTS)
        self._place = database.place
        self._now = self._tables.NOW

    async def put(self, content: bytes) -> str:
        digest = await asyncio.to_thread(digest_of, content)
        again = f"UPDATE artifact SET put = {self._now} WHERE digest = %s RETURNING digest"  # noqa: S608
        if not await self._tables.change((again, (digest,))):
            first = f"""INSERT INTO artifact (digest, content, put) VALUES (%s, %s, {self._now})
                ON CONFLICT (digest) DO UPDATE SET put = excluded.put"""  # noqa: S608
            await self._tables.change((first, (digest, content)))
        return digest

    async def get(self, digest: str) -> bytes:
        query = "SELECT content FROM artifact WHERE digest = %s"
        found = await self._tables.rows(query, (check_digest(digest),))
        if not found:
            raise UnknownArtifact(digest)
        return await asyncio.to_thread(verified, digest, bytes(found[0][0]), self._place)

    async def old(self, seconds: float, *, after: str = "", limit: int = 1000) -> list[str]:
        query = f"""SELECT digest FROM artifact WHERE digest > %s AND put < {self._now} - %s
            ORDER BY digest LIMIT %s"""  # noqa: S608
        return [digest for (digest,) in await self._tables.rows(query, (after, seconds, limit))]

    async def remove(self, digest: str, *, seconds: float) -> int | None:
        statement = f"""DELETE FROM artifact WHERE digest = %s AND put < {self._now} - %s
            RETURNING length(content)"""  # noqa: S608
        found = await self._tables.change((statement, (check_digest(digest), seconds)))
        return int(found[0][0]) if found else None
