"""The store of artifacts of whichever database there is."""

from __future__ import annotations

from codin.database import Database, SqliteDatabase
from codin.task.artifacts.files import FileArtifacts
from codin.task.artifacts.kept import INLINE_BYTES, Artifacts
from codin.task.artifacts.references import References

SUFFIX = "-artifacts"
"""What follows the name of a SQLite file in that of the folder beside it."""


def open_artifacts(
    database: Database, *, inline_bytes: int = INLINE_BYTES, address: str = ""
) -> Artifacts:
    """The large contents of the tasks in ``database``: in a folder beside a SQLite file, in
    Postgres in a table. What has more than ``inline_bytes`` is read as its address, at the gateway
    at ``address``.

    Raises:
        TypeError: there is no store for such a database.
    """
    references = References(database)
    if isinstance(database, SqliteDatabase):
        store = FileArtifacts(f"{database.place}{SUFFIX}", durability=database.durability)
        return Artifacts(store, references, inline_bytes=inline_bytes, address=address)
    from codin.database.postgres import PostgresDatabase
    from codin.task.artifacts.postgres import PostgresArtifacts

    if isinstance(database, PostgresDatabase):
        contents = PostgresArtifacts(database)
        return Artifacts(contents, references, inline_bytes=inline_bytes, address=address)
    raise TypeError(f"there is no store of artifacts for a {type(database).__name__}")
