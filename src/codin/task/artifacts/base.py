"""The contract of stores of contents.

Rules that every implementation keeps, and that ``codin.testing.artifact_conformance`` checks:

- A content is found by its digest alone, and the same content is there once.
- What ``put`` has given a digest of is whole, for every process that uses the store; a ``put`` that
  fails, or whose process dies, leaves nothing that can be found.
- What is given has the digest that was asked for, or is an error.
- What was put, for the first time or again, within the given seconds is not removed.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod

from codin.task.errors import DamagedArtifact, UnknownArtifact

_DIGEST = re.compile(r"[0-9a-f]{64}")


class ArtifactStore(ABC):
    """Contents by their digests, which are SHA-256 in lower hexadecimal digits.

    Safe to use from many asyncio tasks and processes at once; nothing blocks the loop. All methods
    raise ``ArtifactError`` when the store cannot be used.
    """

    @abstractmethod
    async def put(self, content: bytes) -> str:
        """Store ``content``, unless it is there, and give its digest."""

    @abstractmethod
    async def get(self, digest: str) -> bytes:
        """The content.

        Raises:
            UnknownArtifact: there is none of this digest.
            DamagedArtifact: it is not what was put.
        """

    @abstractmethod
    async def old(self, seconds: float, *, after: str = "", limit: int = 1000) -> list[str]:
        """Digests greater than ``after`` of contents that were not put within ``seconds``: at most
        ``limit``, in their order."""

    @abstractmethod
    async def remove(self, digest: str, *, seconds: float) -> int | None:
        """Remove the content unless it was put within ``seconds``; gives how many bytes it had,
        ``None`` when nothing was removed."""

    async def sweep(self, seconds: float) -> None:
        """Remove what a ``put`` that broke off more than ``seconds`` ago left behind, where it can
        leave anything."""
        return


def digest_of(content: bytes) -> str:
    """The digest of ``content``."""
    return hashlib.sha256(content).hexdigest()


def check_digest(digest: str) -> str:
    """``digest``, when it can be one.

    Raises:
        UnknownArtifact: it cannot.
    """
    if not _DIGEST.fullmatch(digest):
        raise UnknownArtifact(digest)
    return digest


def verified(digest: str, content: bytes, place: str) -> bytes:
    """``content``, which is at ``place``, when it has ``digest``.

    Raises:
        DamagedArtifact: it does not.
    """
    if digest_of(content) != digest:
        raise DamagedArtifact(digest, place)
    return content
