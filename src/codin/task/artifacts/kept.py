"""What stands between a task log and the store of its large contents."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codin.security import Principal
from codin.task.artifacts.base import ArtifactStore, check_digest
from codin.task.artifacts.parts import (
    STORED,
    Json,
    about,
    large_content,
    linked,
    parts_at,
    places,
    referring,
    restored,
    with_parts,
)
from codin.task.artifacts.references import References
from codin.task.errors import ArtifactError, DamagedArtifact, UnknownArtifact

INLINE_BYTES = 32 * 1024 * 1024
"""A content up to this size is given where it was: it is the most that an agent in a host may say
in one run, and a remote one in one piece."""

PATH = "/api/artifacts/"
"""Where the gateway gives a content, by its digest."""

_CACHED_BYTES = 8 * 1024 * 1024

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Content:
    """A content, and what a task says of it."""

    content: bytes
    media_type: str
    name: str


class RecentContents:
    """The contents that were used last, so many that they have ``most`` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._contents: OrderedDict[str, bytes] = OrderedDict()

    def get(self, digest: str) -> bytes | None:
        found = self._contents.get(digest)
        if found is not None:
            self._contents.move_to_end(digest)
        return found

    def add(self, digest: str, content: bytes) -> None:
        if digest in self._contents or len(content) > self._most:
            return
        self._contents[digest] = content
        self._size += len(content)
        while self._size > self._most:
            _, dropped = self._contents.popitem(last=False)
            self._size -= len(dropped)


class Artifacts:
    """Takes large contents out of what a log is given, into ``store``, and puts them back into what
    is read.

    A content of more than ``inline_bytes`` is given as its address, at the gateway at ``address``.
    So is one that is damaged or lost, that the rest of its task can be read. ``recent`` are those
    at hand.
    """

    def __init__(
        self,
        store: ArtifactStore,
        references: References,
        *,
        inline_bytes: int | None = INLINE_BYTES,
        address: str = "",
        recent: RecentContents | None = None,
    ) -> None:
        self.store = store
        self.references = references
        self._inline_bytes = inline_bytes
        self._address = address
        self._recent = recent or RecentContents(_CACHED_BYTES)

    def unbounded(self) -> Artifacts:
        """The same, with every content where it was, however large; what is damaged or lost is an
        error."""
        return Artifacts(self.store, self.references, inline_bytes=None, recent=self._recent)

    async def keep(self, task_id: str, kind: str, body: Json) -> Json:
        """The body of an event of ``kind`` of a task as the log is to have it.

        Raises:
            ArtifactError: a content cannot be stored.
        """
        for path in list(places(kind, body)):
            parts = parts_at(body, path)
            found = [large_content(part) for part in parts]
            if any(found) or any(STORED in part for part in parts):
                kept = [
                    await self._keep(task_id, part, *large) if large else _without_reference(part)
                    for part, large in zip(parts, found, strict=True)
                ]
                body = with_parts(body, path, kept)
        return body

    async def give(self, kind: str, body: Json) -> Json:
        """The body of an event of ``kind`` as it is to be read.

        Raises:
            ArtifactError: where everything is given, and something cannot be.
        """
        for path in _referring(kind, body):
            parts = [
                await self._given(part) if STORED in part else part for part in parts_at(body, path)
            ]
            body = with_parts(body, path, parts)
        return body

    def give_at_once(self, kind: str, body: Json) -> Json | None:
        """What ``give`` gives, as far as the contents are at hand; otherwise ``None``."""
        for path in _referring(kind, body):
            parts: list[Mapping[str, Any]] = []
            for part in parts_at(body, path):
                given = self._given_at_once(part) if STORED in part else part
                if given is None:
                    return None
                parts.append(given)
            body = with_parts(body, path, parts)
        return body

    async def read(self, principal: Principal, digest: str) -> Content:
        """A content to which a task of ``principal`` refers.

        Raises:
            UnknownArtifact: none does.
            ArtifactError: it is damaged or lost.
        """
        said = await self.references.of(principal, check_digest(digest))
        if said is None:
            raise UnknownArtifact(digest)
        return Content(await self._content(digest), said["media_type"], said["name"])

    async def _keep(self, task_id: str, part: Mapping[str, Any], name: str, content: bytes) -> Json:
        digest = await self.store.put(content)
        await self.references.add(digest, task_id, about(part, name))
        self._recent.add(digest, content)
        return referring(_without_reference(part), digest, name, len(content))

    async def _given(self, part: Mapping[str, Any]) -> Json:
        if not self._inlined(part):
            return self._linked(part)
        try:
            return restored(part, await self._content(part[STORED]["digest"]))
        except ArtifactError as error:
            if self._inline_bytes is None:
                raise
            _log.error("%s", error)
            return self._linked(part)

    def _given_at_once(self, part: Mapping[str, Any]) -> Json | None:
        if not self._inlined(part):
            return self._linked(part)
        content = self._recent.get(part[STORED]["digest"])
        return None if content is None else restored(part, content)

    def _inlined(self, part: Mapping[str, Any]) -> bool:
        return self._inline_bytes is None or part[STORED]["size"] <= self._inline_bytes

    def _linked(self, part: Mapping[str, Any]) -> Json:
        return linked(part, f"{self._address}{PATH}{part[STORED]['digest']}")

    async def _content(self, digest: str) -> bytes:
        found = self._recent.get(digest)
        if found is None:
            try:
                found = await self.store.get(digest)
            except UnknownArtifact as error:
                raise DamagedArtifact(digest, "the store of artifacts") from error
            self._recent.add(digest, found)
        return found


def _referring(kind: str, body: Mapping[str, Any]) -> Sequence[tuple[str | int, ...]]:
    found = places(kind, body)
    return [path for path in found if any(STORED in part for part in parts_at(body, path))]


def _without_reference(part: Mapping[str, Any]) -> Json:
    """Only this class says what is stored: nobody gets at a content by naming it."""
    return {key: value for key, value in part.items() if key != STORED}
