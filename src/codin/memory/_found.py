"""A chunk that was found, out of a row of a table."""

from __future__ import annotations

import json

from codin.database import Row
from codin.memory.chunks import FoundChunk
from codin.security import Scope


def chunk_of(scope: Scope, row: Row, score: float = 0.0) -> FoundChunk:
    """A chunk of the user of ``scope``, out of its id, text, metadata, agent, session, and when it
    was updated and expires."""
    chunk_id, text, metadata, agent, session, updated, expires = row
    owner = Scope(scope.tenant, scope.user, agent or None, session or None)
    return FoundChunk(chunk_id, text, json.loads(metadata), owner, score, updated, expires)
