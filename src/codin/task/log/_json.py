"""How bodies are written down."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from codin.database import storable


def dump(value: Any) -> str:
    """``value`` as JSON that every store can hold: without the character NUL, and UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # Half a surrogate pair, such as a model's cut output holds, has no UTF-8: it is escaped then.
    return text if storable(text) else json.dumps(value, separators=(",", ":"))


def plain(text: str | None) -> str | None:
    """``text`` with each half of a surrogate pair written as its escape."""
    return text if text is None else text.encode("utf-8", "backslashreplace").decode()


def digest(*parts: str) -> str:
    """A short name for ``parts``, whatever is in them: what a client sends may be of any length."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
