"""Approval of calls that policy lets nobody make alone."""

from __future__ import annotations

import json
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codin.security import RunGrant
from codin.tool.base import ApprovalNeeded

_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
"""Kinds of characters that a terminal or a page shows as nothing, as another order or as a line of
its own. JSON escapes only some: and who approves has to see what is there."""


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
        """The call as whoever approves it reads it: all of it, and nothing that is not shown."""
        text = json.dumps(dict(self.arguments), ensure_ascii=False, indent=2, default=repr)
        return f"{self.name} " + "".join(map(_visible, text))


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


def _visible(char: str) -> str:
    if char == "\n" or unicodedata.category(char) not in _UNSEEN:
        return char
    return f"\\u{ord(char):04x}" if char.isascii() else json.dumps(char)[1:-1]
