"""A2A's task states, by the names that the protocol's JSON uses."""

from __future__ import annotations

from typing import Final

SUBMITTED: Final = "TASK_STATE_SUBMITTED"
WORKING: Final = "TASK_STATE_WORKING"
COMPLETED: Final = "TASK_STATE_COMPLETED"
FAILED: Final = "TASK_STATE_FAILED"
CANCELED: Final = "TASK_STATE_CANCELED"
REJECTED: Final = "TASK_STATE_REJECTED"
INPUT_REQUIRED: Final = "TASK_STATE_INPUT_REQUIRED"
AUTH_REQUIRED: Final = "TASK_STATE_AUTH_REQUIRED"

TERMINAL: Final = frozenset({COMPLETED, FAILED, CANCELED, REJECTED})
"""Nothing follows these."""

INTERRUPTED: Final = frozenset({INPUT_REQUIRED, AUTH_REQUIRED})
"""The task waits for somebody and holds no process."""

STOPPED: Final = TERMINAL | INTERRUPTED
"""Nothing more comes by itself."""

STATES: Final = frozenset({SUBMITTED, WORKING}) | TERMINAL | INTERRUPTED
