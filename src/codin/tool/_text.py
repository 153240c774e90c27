"""Words of servers: shown to models, so without what hides in them, and not too many."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

_HIDDEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
_PLAIN = re.compile(r"[\n\t -~]*")
_TEXTS = frozenset({"description", "title"})
_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_KEPT = frozenset({"const", "default", "enum", "examples"})


def clean(text: str, most: int) -> str:
    """``text`` within ``most`` characters, without control and invisible characters.

    Lines stay lines. What is left out at the end is told by an ellipsis.
    """
    kept = text[: 4 * most]
    if not _PLAIN.fullmatch(kept):  # most are, and each character takes its time
        kept = "".join(filter(_is_seen, kept))
    kept = kept.strip()
    if len(kept) <= most and len(text) <= 4 * most:
        return kept
    return kept[: most - 1].rstrip() + "…"


def _is_seen(one: str) -> bool:
    return one in "\n\t" or unicodedata.category(one) not in _HIDDEN


def clean_schema(schema: Any, most: int) -> Any:
    """``schema`` with all its descriptions and titles cleaned; nothing else of it is changed."""
    if isinstance(schema, list):
        return [clean_schema(item, most) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _cleaned(key, value, most) for key, value in schema.items()}


def _cleaned(key: str, value: Any, most: int) -> Any:
    if key in _TEXTS and isinstance(value, str):
        return clean(value, most)
    if key in _NAMED and isinstance(value, dict):
        return {name: clean_schema(one, most) for name, one in value.items()}
    return value if key in _KEPT else clean_schema(value, most)
