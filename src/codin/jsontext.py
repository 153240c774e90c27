"""JSON as it goes out: the same text as by ``json``, several times faster."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import PydanticSerializationError, to_json


def encoded(value: Any) -> bytes:
    """``value``, which is plain JSON data, as compact JSON in UTF-8."""
    try:
        return to_json(value)
    except PydanticSerializationError:
        # half a surrogate pair, such as a model's cut output holds, has no UTF-8: it is escaped
        return json.dumps(value, separators=(",", ":")).encode()
