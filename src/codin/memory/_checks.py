"""What every store checks before it writes."""

from __future__ import annotations

import json
from typing import Any

from codin.errors import InvalidInputError
from codin.memory.base import ScopeError
from codin.security import Scope

MAX_KEY = 512


def session_of(scope: Scope) -> str:
    """The session that a message goes to.

    Raises:
        ScopeError: there is none.
    """
    if scope.session is None:
        raise ScopeError("a message belongs to a session: give a scope that names one")
    return scope.session


def checked_key(key: str) -> str:
    """``key``, when it can be one.

    Raises:
        InvalidInputError: it is empty or too long.
    """
    if not key or len(key) > MAX_KEY:
        raise InvalidInputError(f"a note's key has 1 to {MAX_KEY} characters, not {len(key)}")
    return key


def as_json(value: Any) -> str:
    """``value`` as JSON text.

    Raises:
        InvalidInputError: it is no JSON data.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"only JSON data can be kept: {error}") from error


def covers(scope: Scope, owner: Scope) -> bool:
    """Whether data of ``owner`` is within ``scope``."""
    return (
        (scope.tenant, scope.user) == (owner.tenant, owner.user)
        and scope.agent in (None, owner.agent)
        and scope.session in (None, owner.session)
    )
