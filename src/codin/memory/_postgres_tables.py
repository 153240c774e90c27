"""What the memory's tables have in common in Postgres."""

from __future__ import annotations

from codin.database import Migrations, Schema
from codin.errors import InvalidInputError
from codin.memory._checks import checked_scope, checked_text
from codin.memory.errors import MemoryFailure
from codin.security import Scope

# Whoever installs it says where; a newer one than is known here will do.
_EXTENSION = """
DO $$ DECLARE found text; BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector') THEN
        BEGIN
            CREATE EXTENSION vector SCHEMA public;
        EXCEPTION WHEN OTHERS THEN
            RAISE EXCEPTION 'it needs the extension vector (pgvector 0.8 or newer), which cannot '
                'be made here (%): install pgvector on the server, and have its administrator say '
                'CREATE EXTENSION vector in this database', SQLERRM;
        END;
    END IF;
    SELECT extversion INTO found FROM pg_extension WHERE extname = 'vector';
    IF string_to_array(substring(found FROM '^[0-9]+\\.[0-9]+'), '.')::int[] < '{0,8}' THEN
        RAISE EXCEPTION 'it needs the extension vector (pgvector) 0.8 or newer, and this is %: '
            'install a newer one on the server, and say ALTER EXTENSION vector UPDATE', found;
    END IF;
END $$
"""
HOME = """
SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace AS n ON n.oid = extnamespace
WHERE extname = 'vector'
"""
"""Finds the schema that the extension is in."""

# All of it is compared by bytes: pages have one order so, whatever the database's locale.
_OWNER = """
    agent text COLLATE "C" NOT NULL, session text COLLATE "C" NOT NULL
"""
_MIGRATIONS: Migrations = (
    (
        _EXTENSION,
        f"SELECT set_config('search_path', 'codin, ' || ({HOME}), true)",
        f"""
        CREATE TABLE memory_message (
            seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            tenant text COLLATE "C" NOT NULL, holder text COLLATE "C" NOT NULL, {_OWNER},
            id text COLLATE "C" NOT NULL, role text NOT NULL, text text NOT NULL, task_id text,
            time float8 NOT NULL, body text,
            UNIQUE (tenant, holder, agent, session, id)
        )
        """,
        "CREATE INDEX memory_message_order ON memory_message (tenant, holder, session, seq)",
        f"""
        CREATE TABLE memory_note (
            tenant text COLLATE "C" NOT NULL, holder text COLLATE "C" NOT NULL, {_OWNER},
            key text COLLATE "C" NOT NULL, value text NOT NULL,
            updated float8 NOT NULL, expires float8,
            PRIMARY KEY (tenant, holder, agent, session, key)
        )
        """,
        "CREATE INDEX memory_note_expiry ON memory_note (expires) WHERE expires IS NOT NULL",
        # ``held`` chunks are in it, with so many ``vectors`` and so many words (``length``).
        """
        CREATE TABLE memory_collection (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            tenant text COLLATE "C" NOT NULL, holder text COLLATE "C" NOT NULL,
            name text COLLATE "C" NOT NULL,
            embedder text, dimension integer,
            held bigint NOT NULL DEFAULT 0, vectors bigint NOT NULL DEFAULT 0,
            length bigint NOT NULL DEFAULT 0,
            UNIQUE (tenant, holder, name)
        ) WITH (fillfactor = 70)
        """,
        f"""
        CREATE TABLE memory_chunk (
            seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            collection bigint NOT NULL, {_OWNER},
            id text COLLATE "C" NOT NULL, updated float8 NOT NULL, expires float8,
            text text NOT NULL, metadata text NOT NULL, tags uuid[] NOT NULL,
            words tsvector NOT NULL, length integer NOT NULL,
            UNIQUE (collection, agent, session, id)
        )
        """,
        """
        CREATE INDEX memory_chunk_expiry ON memory_chunk (expires, collection)
            WHERE expires IS NOT NULL
        """,
        # A list of what is not in the index yet would be looked through by every search.
        "CREATE INDEX memory_chunk_words ON memory_chunk USING gin (words) WITH (fastupdate = off)",
        # Beside the texts: these are compared one by one, and are on fewer pages so.
        f"""
        CREATE TABLE memory_vector (
            seq bigint PRIMARY KEY, collection bigint NOT NULL, {_OWNER},
            expires float8, tags uuid[] NOT NULL, dimension integer NOT NULL, vector vector NOT NULL
        )
        """,
        "ALTER TABLE memory_vector ALTER vector SET STORAGE MAIN",
        "CREATE INDEX memory_vector_owner ON memory_vector (collection, agent, session)",
        "CREATE INDEX memory_vector_tags ON memory_vector USING gin (tags) WITH (fastupdate = off)",
        # In how many chunks of a collection each word is.
        """
        CREATE TABLE memory_word (
            collection bigint NOT NULL, word text COLLATE "C" NOT NULL, chunks bigint NOT NULL,
            PRIMARY KEY (collection, word)
        ) WITH (fillfactor = 70)
        """,
        # English endings are taken off; no word is left out for being common. Marked ones have a
        # digit and a letter in them, all of them.
        "CREATE TEXT SEARCH DICTIONARY memory_stem (TEMPLATE = snowball, Language = english)",
        "CREATE TEXT SEARCH CONFIGURATION memory_words (PARSER = default)",
        """
        ALTER TEXT SEARCH CONFIGURATION memory_words
            ADD MAPPING FOR numword WITH memory_stem
        """,
    ),
)
MEMORY = Schema("memory", "the memory", MemoryFailure, sqlite=(), postgres=_MIGRATIONS)

_MOST_BYTES = 600
"""Of a scope's names: Postgres has no index of more than 2,700, and a key may have 2,048."""

NARROWED = "(%(agent)s::text IS NULL OR agent = %(agent)s) AND " + (
    "(%(session)s::text IS NULL OR session = %(session)s)"
)
WITHIN = f"tenant = %(tenant)s AND holder = %(holder)s AND {NARROWED}"
EXACT = (
    "tenant = %(tenant)s AND holder = %(holder)s AND agent = %(agent)s AND session = %(session)s"
)
THERE = "(expires IS NULL OR expires > %(now)s)"


def owner(scope: Scope) -> dict[str, str]:
    """The values of ``EXACT``.

    Raises:
        InvalidInputError: Postgres cannot hold one of them.
    """
    # Empty text for what is not given: NULLs are never equal in a unique index.
    return {name: value or "" for name, value in reach(scope).items()}


def reach(scope: Scope) -> dict[str, str | None]:
    """The values of ``WITHIN``.

    Raises:
        InvalidInputError: Postgres cannot hold one of them.
    """
    checked_scope(scope)
    values = {
        "tenant": scope.tenant,
        "holder": scope.user,
        "agent": scope.agent,
        "session": scope.session,
    }
    names = [value for value in values.values() if value]
    for name in names:
        checked_text(name, "a scope's name")
    if len("".join(names).encode()) > _MOST_BYTES:
        raise InvalidInputError(
            f"the names of a scope have at most {_MOST_BYTES} bytes together where they are kept "
            "in Postgres"
        )
    return values
