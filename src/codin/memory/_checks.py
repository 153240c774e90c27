"""What every store checks before it reads or writes."""

from __future__ import annotations

import json
import math
from typing import Any

from codin.database import storable
from codin.errors import InvalidInputError
from codin.memory.errors import ScopeError
from codin.memory.notes import MAX_NOTE_BYTES
from codin.security import Scope

MAX_KEY = 512


def checked_scope(scope: Scope) -> Scope:
    """``scope``, when it can be one.

    Raises:
        ScopeError: its agent or its session is empty.
    """
    if scope.agent == "" or scope.session == "":
        part = "agent" if scope.agent == "" else "session"
        raise ScopeError(f"a scope's {part} is a name, or None; it cannot be empty")
    return scope


def session_of(scope: Scope) -> str:
    """The session that a message goes to.

    Raises:
        ScopeError: there is none.
    """
    checked_scope(scope)
    if scope.session is None:
        raise ScopeError("a message belongs to a session: give a scope that names one")
    return scope.session


def checked_key(key: str, what: str = "a note's key") -> str:
    """``key``, when it can be one.

    Raises:
        InvalidInputError: it is empty or too long, or no text that a database holds.
    """
    if not key or len(key) > MAX_KEY:
        raise InvalidInputError(f"{what} has 1 to {MAX_KEY} characters, not {len(key)}")
    return checked_text(key, what)


def checked_text(text: str, what: str) -> str:
    """``text``, when a database of any kind can hold it.

    Raises:
        InvalidInputError: there is NUL in it, or half a surrogate pair.
    """
    if not storable(text):
        raise InvalidInputError(f"{what} has a character in it that is no text: NUL or a surrogate")
    return text


def as_json(value: Any) -> str:
    """``value`` as JSON text.

    Raises:
        InvalidInputError: it is no JSON data.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"only JSON data can be kept: {error}") from error


def note_json(value: Any) -> str:
    """A note's ``value`` as JSON text.

    Raises:
        InvalidInputError: it is no JSON data, or too large.
    """
    text = as_json(value)
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidInputError(f"only JSON data can be kept: {error}") from error
    if size > MAX_NOTE_BYTES:
        raise InvalidInputError(
            f"a note has at most {MAX_NOTE_BYTES:,} bytes of JSON, and this one {size:,}: keep "
            "it in a file, and where that is in the note"
        )
    return text


def expiry(ttl: float | None, now: float) -> float | None:
    """When something ends that is kept for ``ttl`` seconds from ``now``.

    Raises:
        InvalidInputError: that is no time.
    """
    if ttl is None:
        return None
    if not ttl > 0 or not math.isfinite(ttl):
        raise InvalidInputError(f"a ttl is a number of seconds above 0, or None, not {ttl}")
    return now + ttl


def covers(scope: Scope, owner: Scope) -> bool:
    """Whether data of ``owner`` is within ``scope``."""
    return (
        (scope.tenant, scope.user) == (owner.tenant, owner.user)
        and scope.agent in (None, owner.agent)
        and scope.session in (None, owner.session)
    )
