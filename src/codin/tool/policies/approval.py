"""Approval of calls that policy lets nobody make alone."""

from __future__ import annotations

import json
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codin.security import RunGrant
from codin.tool.base import ApprovalNeeded

_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
"""Kinds of characters that a terminal or a page shows as nothing, as another order or as a line of
its own. JSON escapes only some: and who approves has to see what is there."""

_SHAPELESS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that are shown as nothing all the same."""


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A call that waits for approval: with exactly ``arguments`` it is made if it comes. ``key`` is
    its idempotency key; ``reason`` says which policy asks, and why."""

    call_id: str
    name: str
    arguments: Mapping[str, Any]
    key: str
    reason: str

    def __str__(self) -> str:
        """The call as whoever approves it reads it."""
        return call_text(self.name, self.arguments)


class Approver(ABC):
    """Has somebody decide whether a call is made."""

    @abstractmethod
    async def approve(self, grant: RunGrant, call: PendingCall) -> None:
        """Return once ``call`` may be made, for the run of ``grant``.

        The run may be ended instead, and made again when somebody has decided: then this is
        cancelled.

        Raises:
            ToolRefused: it may not; the message has what was said.
            ApprovalNeeded: there is nobody to ask.
        """


class NobodyApproves(Approver):
    """For calls of which nobody can be asked."""

    async def approve(self, grant: RunGrant, call: PendingCall) -> None:
        """Refuse."""
        raise ApprovalNeeded(call.reason)


def call_text(name: str, arguments: Mapping[str, Any]) -> str:
    """A call as whoever approves it reads it: all of it, and nothing that is not shown."""
    text = json.dumps(dict(arguments), ensure_ascii=False, indent=2, default=repr)
    return f"{name} {visible(text)}"


def visible(text: str) -> str:
    """``text`` with JSON's escapes in the place of what a terminal or a page would not show. Line
    feeds and tabs stay."""
    return "".join(map(_visible, text))


def _visible(char: str) -> str:
    unseen = unicodedata.category(char) in _UNSEEN or _SHAPELESS.match(char)
    if char in "\n\t" or not unseen:
        return char
    return f"\\u{ord(char):04x}" if char.isascii() else json.dumps(char)[1:-1]
