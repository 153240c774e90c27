"""Results of pure tools, kept for who has asked for them."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from codin.security import Principal
from codin.tool.base import ToolSpec
from codin.tool.execution.result import Told

_Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Kept:
    """A result that is kept, as text."""

    spec: ToolSpec
    text: str
    is_text: bool
    until: float
    chars: int

    @property
    def value(self) -> Any:
        """It as data, made anew each time."""
        return self.text if self.is_text else json.loads(self.text)


class ResultCache:
    """The results of calls of tools that are ``pure``, by principal, tool and arguments.

    It holds up to ``entries`` of up to ``chars`` characters in all; what was not asked for the
    longest goes first. A result is given anew each time: changing one changes no other. A tool that
    has been replaced has none.
    """

    def __init__(
        self,
        *,
        entries: int = 4096,
        chars: int = 16 * 1024 * 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._entries = entries
        self._chars = chars
        self._clock = clock
        self._kept: OrderedDict[_Key, Kept] = OrderedDict()
        self._used = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, spec: ToolSpec, principal: Principal, arguments: str) -> Kept | None:
        """The result of the call; ``None`` when there is none."""
        key = _key(spec, principal, arguments)
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.spec is not spec or kept.until <= self._clock():
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept

    def put(self, spec: ToolSpec, principal: Principal, arguments: str, result: Told) -> None:
        """Keep ``result`` as that of the call."""
        text = result.text
        chars = len(text) + len(arguments)
        key = _key(spec, principal, arguments)
        self._drop(key)
        # One that would push many others out is worth less than they are.
        if chars > self._chars // 8 or spec.cache_seconds <= 0:
            return
        until = self._clock() + spec.cache_seconds
        self._kept[key] = Kept(spec, text, isinstance(result.data, str), until, chars)
        self._used += chars
        while len(self._kept) > self._entries or self._used > self._chars:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: _Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._used -= kept.chars


def _key(spec: ToolSpec, principal: Principal, arguments: str) -> _Key:
    return principal.tenant, principal.subject, spec.name, arguments
