"""Contents in the memory of this process: for tests, and for what is to be gone with it."""

from __future__ import annotations

import time
from collections.abc import Callable

from codin.task.artifacts.base import ArtifactStore, check_digest, digest_of, verified
from codin.task.errors import UnknownArtifact


class InMemoryArtifacts(ArtifactStore):
    """``now`` is the clock, in seconds."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._contents: dict[str, tuple[bytes, float]] = {}

    async def put(self, content: bytes) -> str:
        digest = digest_of(content)
        self._contents[digest] = bytes(content), self._now()
        return digest

    async def get(self, digest: str) -> bytes:
        found = self._contents.get(check_digest(digest))
        if found is None:
            raise UnknownArtifact(digest)
        return verified(digest, found[0], "memory")

    async def old(self, seconds: float, *, after: str = "", limit: int = 1000) -> list[str]:
        before = self._now() - seconds
        old = (key for key, (_, put) in self._contents.items() if key > after and put < before)
        return sorted(old)[:limit]

    async def remove(self, digest: str, *, seconds: float) -> int | None:
        found = self._contents.get(check_digest(digest))
        if found is None or found[1] >= self._now() - seconds:
            return None
        del self._contents[digest]
        return len(found[0])
