"""Which tasks refer to which contents, beside the task log in its database."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from codin.database import Database, storable
from codin.jsontext import encoded
from codin.security import Principal
from codin.task.artifacts._schema import ARTIFACTS


@dataclass(frozen=True, slots=True)
class Reference:
    """That a task refers to a content. ``principal`` owns the task; ``None`` when there is none."""

    digest: str
    task_id: str
    principal: Principal | None = None


class References:
    """The references in ``database``, which has the task log too and stays open.

    One is written before the log's entry that it is for, so that nothing is collected in between;
    it stays for good once it was ``found`` to be in the log.
    """

    def __init__(self, database: Database) -> None:
        self._tables = database.tables(ARTIFACTS)

    async def add(self, digest: str, task_id: str, about: Mapping[str, str]) -> None:
        """Say that ``task_id`` is about to refer to ``digest``; ``about`` is what it says of it."""
        statement = f"""INSERT INTO artifact_ref (digest, task_id, about, made)
            VALUES (%s, %s, %s, {self._tables.NOW}) ON CONFLICT (digest, task_id)
            DO UPDATE SET made = excluded.made, about = excluded.about"""  # noqa: S608
        values = (digest, task_id, encoded(dict(about)).decode())
        await self._tables.change((statement, values))

    async def of(self, principal: Principal, digest: str) -> dict[str, str] | None:
        """What a task of ``principal`` says of the content; ``None`` when none refers to it."""
        if not storable(digest, principal.tenant, principal.subject):
            return None
        found = await self._tables.rows(
            """SELECT about FROM artifact_ref JOIN task USING (task_id)
                WHERE digest = %s AND tenant = %s AND subject = %s LIMIT 1""",
            (digest, principal.tenant, principal.subject),
        )
        about: dict[str, str] | None = json.loads(found[0][0]) if found else None
        return about

    async def among(self, digests: Collection[str]) -> set[str]:
        """Those of ``digests`` that some task refers to."""
        condition, value = self._tables.among(digests)
        query = f"SELECT DISTINCT digest FROM artifact_ref WHERE digest {condition}"  # noqa: S608
        return {digest for (digest,) in await self._tables.rows(query, (value,))}

    async def unproven(self, seconds: float, limit: int = 1000) -> list[Reference]:
        """References older than ``seconds`` of which is not known whether the log has them."""
        rows = await self._tables.rows(
            f"""SELECT digest, artifact_ref.task_id, tenant, subject
                FROM artifact_ref LEFT JOIN task ON task.task_id = artifact_ref.task_id
                WHERE found = 0 AND made < {self._tables.NOW} - %s
                ORDER BY made LIMIT %s""",  # noqa: S608
            (seconds, limit),
        )
        return [
            Reference(digest, task_id, None if tenant is None else Principal(tenant, subject))
            for digest, task_id, tenant, subject in rows
        ]

    async def prove(self, references: Sequence[Reference]) -> None:
        """The log has ``references``."""
        await self._each("UPDATE artifact_ref SET found = 1 WHERE {which}", references)

    async def drop(self, references: Sequence[Reference], *, seconds: float) -> None:
        """Forget those of ``references`` that were not made again within ``seconds``."""
        old = f"found = 0 AND made < {self._tables.NOW} - {float(seconds)!r}"
        await self._each(f"DELETE FROM artifact_ref WHERE {{which}} AND {old}", references)  # noqa: S608

    async def _each(self, statement: str, references: Sequence[Reference]) -> None:
        sql = statement.format(which="digest = %s AND task_id = %s")
        if references:
            await self._tables.change(*((sql, (one.digest, one.task_id)) for one in references))
