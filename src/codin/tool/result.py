"""A tool's result as JSON data and as text, within its limit."""

from __future__ import annotations

import json
from typing import Any

from codin.tool._entry import plain

_HEAD = 0.7


def presented(value: Any, limit: int) -> tuple[Any, str, bool]:
    """``value`` as JSON data, as text for a model, and whether it was cut to ``limit`` characters.

    A cut keeps the beginning and the end and says so where it cut; the data is then that text.
    """
    data = plain(value)
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    if len(text) <= limit:
        return data, text, False
    shown = cut(text, limit)
    return shown, shown, True


def cut(text: str, limit: int) -> str:
    """``text`` within ``limit`` characters, with a note where something is left out."""
    if len(text) <= limit:
        return text
    note = f"\n[... {len(text):,} characters in all, the middle is left out ...]\n"
    room = limit - len(note)
    if room <= 0:
        return text[:limit]
    head = int(room * _HEAD)
    return text[:head] + note + text[len(text) - (room - head) :]
