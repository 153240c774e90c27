"""Which time a run makes the same call: what tells a repeated call from another one."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable

from codin.security import RunGrant

_Run = tuple[str, str, float]
_PRUNED_AT = 256


class Occurrences:
    """Counts the calls of each run, for their idempotency keys.

    A run that is made again, under a new grant, counts from the beginning: its calls have the keys
    that they had before. A run that answers another message of the task has other keys. A run is
    forgotten when its grant has expired, and no sooner: a call that is counted anew would be taken
    for an earlier one.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._runs: dict[_Run, Counter[tuple[str, bytes]]] = {}
        self._pruned_at = _PRUNED_AT

    def key(self, grant: RunGrant, name: str, arguments: str) -> str:
        """The key of the call that is made now:
        ``codin:<task>:<turn>:<tool>:<hash>:<occurrence>``."""
        digest = hashlib.sha256(arguments.encode("utf-8", "replace")).digest()[:16]
        run = self._run(grant)
        occurrence = run[name, digest]
        run[name, digest] = occurrence + 1
        return f"codin:{grant.task_id}:{grant.turn}:{name}:{digest.hex()}:{occurrence}"

    def _run(self, grant: RunGrant) -> Counter[tuple[str, bytes]]:
        key = grant.task_id, grant.agent_id, grant.expires_at
        run = self._runs.get(key)
        if run is None:
            if len(self._runs) >= self._pruned_at:
                now = self._clock()
                self._runs = {k: one for k, one in self._runs.items() if k[2] > now}
                self._pruned_at = max(_PRUNED_AT, 2 * len(self._runs))
            run = self._runs[key] = Counter()
        return run
