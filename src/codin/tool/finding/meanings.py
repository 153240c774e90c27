"""Tools by nearness of meaning: what is known of each is embedded, beside whatever else goes on."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from codin.tool.base import ToolSpec

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from codin.tool.registry import ToolRegistry

_log = logging.getLogger(__name__)

_BATCH = 8
_TEXT_CHARS = 240
"""Of a name and the first line of a description. With more of it the right tool comes first less
often (for 16 of 34 questions instead of 24), and five times as much is computed."""
_QUERY_CHARS = 240
_QUERY_SECONDS = 2.0
_LEAST_KNOWN = 0.9
_AGAIN_SECONDS = 60.0


class Embedder(Protocol):
    """Says where texts are in a space in which those that mean the same are near each other."""

    async def embed(
        self, texts: Sequence[str], *, query: bool = False
    ) -> Sequence[Sequence[float]] | NDArray[float32]:
        """A vector for each text, all of one length. ``query`` says that these are what is looked
        for, and not what is found."""
        ...


class Meanings:
    """Ranks the tools of ``registry`` by how near they are to what is asked. Needs numpy.

    They are embedded in the background, a few at a time, from the beginning and when others come;
    what was embedded is kept by its text, and is not embedded again. Nothing waits for that: while
    too few are known, ``ranked`` gives none. What goes wrong is told in the log, and tried again
    after a minute. An embedder that is closed cancels what it was asked, and is not asked again.
    """

    def __init__(self, registry: ToolRegistry, embedder: Embedder) -> None:
        import numpy as np

        self._np = np
        self._registry = registry
        self._embedder = embedder
        self._vectors: dict[bytes, Any] = {}
        self._known: dict[int, tuple[ToolSpec, Any]] = {}
        self._filling: asyncio.Task[None] | None = None
        self._revision = -1
        self._not_before = 0.0
        self._closed = False
        registry.listen(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Have what is new embedded, unless that is under way. Does nothing without a loop."""
        if self._closed or (self._filling is not None and not self._filling.done()):
            return
        if self._revision == self._registry.revision or time.monotonic() < self._not_before:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._filling = loop.create_task(self._fill(), name="meanings of tools")

    async def settled(self) -> None:
        """Wait until all that is there by now is known, or could not be embedded."""
        while self._filling is not None and not self._filling.done():
            await asyncio.wait([self._filling])

    async def ranked(self, query: str, among: Sequence[ToolSpec]) -> list[ToolSpec]:
        """Those of ``among`` that are known, the nearest first; none when these are too few, or
        the query is not embedded in time."""
        self.refresh()
        known = [(spec, self._known.get(id(spec))) for spec in among]
        there = [(spec, held[1]) for spec, held in known if held is not None]
        if not there or len(there) < _LEAST_KNOWN * len(among):
            return []
        try:
            async with asyncio.timeout(_QUERY_SECONDS):
                (wanted,) = await self._embedded([query[:_QUERY_CHARS]], query=True)
        except TimeoutError:
            _log.warning("tools are searched by words alone: the embedder takes too long")
            return []
        except Exception:
            _log.exception("tools are searched by words alone: the embedder failed")
            return []
        usable = [(spec, vector) for spec, vector in there if vector.shape == wanted.shape]
        if not usable:
            return []
        near = self._np.stack([vector for _, vector in usable]) @ wanted
        return [usable[place][0] for place in self._np.argsort(-near, kind="stable")]

    async def _fill(self) -> None:
        """Embed what is not known, until nothing new has come meanwhile."""
        try:
            while self._revision != self._registry.revision:
                revision = self._registry.revision
                texts = await asyncio.to_thread(_texts, list(self._registry.everything()))
                await self._take(texts)
                self._know(texts)
                self._revision = revision
        except asyncio.CancelledError:
            self._closed = True
            raise
        except Exception:
            self._not_before = time.monotonic() + _AGAIN_SECONDS
            _log.exception("tools are searched by words alone: the embedder failed")

    async def _take(self, texts: Mapping[int, tuple[ToolSpec, bytes, str]]) -> None:
        wanted = {mark: text for _, mark, text in texts.values()}
        self._vectors = {mark: held for mark, held in self._vectors.items() if mark in wanted}
        new = [mark for mark in wanted if mark not in self._vectors]
        for at in range(0, len(new), _BATCH):
            batch = new[at : at + _BATCH]
            vectors = await self._embedded([wanted[mark] for mark in batch])
            self._vectors.update(zip(batch, vectors, strict=True))

    def _know(self, texts: Mapping[int, tuple[ToolSpec, bytes, str]]) -> None:
        # By the object, which is held, so that no other can have its id.
        self._known = {key: (spec, self._vectors[mark]) for key, (spec, mark, _) in texts.items()}

    async def _embedded(self, texts: list[str], *, query: bool = False) -> Any:
        """A unit vector for each text."""
        np = self._np
        given = await self._embedder.embed(texts, query=query)
        vectors = np.asarray(given, dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise ValueError(f"{len(texts)} texts gave an array of shape {vectors.shape}")
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _texts(specs: Iterable[ToolSpec]) -> dict[int, tuple[ToolSpec, bytes, str]]:
    """What is embedded of each tool, with a mark of it, by the tool's spec."""
    found = {}
    for spec in specs:
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", spec.name.replace("_", " "))
        lines = spec.description.split("\n", 2)[: 2 if spec.deprecated else 1]
        text = f"{name}: {' '.join(lines)}"[:_TEXT_CHARS]
        mark = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        found[id(spec)] = (spec, mark, text)
    return found
