"""Approval of calls that policy lets nobody make alone."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codin.security import RunGrant
from codin.tool.base import ApprovalNeeded

# What a terminal or a page shows as nothing, as another order or as a line of its own: JSON escapes
# only the first of these, and who approves has to see what is there.
_UNSEEN = re.compile("[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


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
        return f"{self.name} {_UNSEEN.sub(_escaped, text)}"


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


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
