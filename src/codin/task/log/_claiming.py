"""Which tasks can be claimed, in SQL; ``now`` is the database's clock."""

from __future__ import annotations

UNFINISHED = "state IN ('TASK_STATE_SUBMITTED', 'TASK_STATE_WORKING')"
"""Tasks that should be in somebody's hands, in the words of their index."""


def expired(now: str, owner: str) -> str:
    """Tasks that nobody runs, as ``owner`` sees it: what it holds itself it runs, also when the
    clock has jumped past its leases."""
    return f"(owner IS NULL OR (lease_expires < {now} AND owner <> {owner}))"


def free(now: str, owner: str) -> str:
    """Those of them that may be run, or have to be ended."""
    return f"""{expired(now, owner)}
        AND (NOT paused OR cancel_requested OR COALESCE(deadline < {now}, FALSE))"""


def roomless(now: str) -> str:
    """Tasks that take no room, some because they are only to be ended."""
    return f"(lane <> 'agent' OR cancel_requested OR COALESCE(deadline < {now}, FALSE))"
