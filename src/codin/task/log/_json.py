"""How bodies are written down."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from codin.jsontext import encoded


def dump(value: Any) -> str:
    """``value`` as JSON that every store can hold: without the character NUL, and UTF-8."""
    return encoded(value).decode()


def plain(text: str | None) -> str | None:
    """``text`` with each half of a surrogate pair written as its escape."""
    return text if text is None else text.encode("utf-8", "backslashreplace").decode()


def digest(*parts: str) -> str:
    """A short name for ``parts``, whatever is in them: what a client sends may be of any length."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
