"""The platform's memory as LangGraph's store."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from urllib.parse import quote

from langgraph.store.base import (
    BaseStore,
    GetOp,
    IndexConfig,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
    get_text_at_path,
    tokenize_path,
)

from codin.memory.base import Chunk, FoundChunk, MemorySystem, Note
from codin.memory.chunks import MAX_CHUNK_CHARS, MAX_FOUND
from codin.security import Scope

COLLECTION = "langgraph"
"""Where the texts of items are, that are searched."""

_KEYS = "langgraph/"
_ALL = 1_000_000
_MORE = 4


class MemoryStore(BaseStore):  # type: ignore[misc]
    """Items of ``scope``, which are notes of ``memory``; with ``index``, their fields are chunks.

    It is ``memory`` that embeds: of ``index`` the fields count. Without an embedder items are found
    by their words. ``ttl`` is as LangGraph has it, in minutes. The methods that are not async are
    for other threads than that of the event loop in which it was made, or used first.

    Raises, for every call: what the notes and chunks of a memory raise. A namespace and a key have
    some 500 characters together.
    """

    supports_ttl = True

    def __init__(
        self,
        memory: MemorySystem,
        scope: Scope,
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
    ) -> None:
        self._memory = memory
        self._scope = scope
        self._fields = None if index is None else list(index.get("fields") or ["$"])
        self.ttl_config = ttl
        self._loop = _running_loop()

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """``abatch``, waited for.

        Raises:
            RuntimeError: it is called in the thread of an event loop, or no loop is known yet.
        """
        if _running_loop() is not None:
            raise RuntimeError("in an event loop, await the store's aget, aput, asearch, ...")
        if self._loop is None or self._loop.is_closed():
            raise RuntimeError("the store belongs to an event loop: make it in one that runs")
        return asyncio.run_coroutine_threadsafe(self.abatch(ops), self._loop).result()

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """What each of ``ops`` gives. All of them see what was there before; of several puts under
        one key the last counts."""
        self._loop = self._loop or _running_loop()
        results: list[Result] = []
        puts: dict[str, PutOp] = {}
        for op in ops:
            if isinstance(op, PutOp):
                puts[_note_key(op.namespace, op.key)] = op
                results.append(None)
            elif isinstance(op, GetOp):
                results.append(await self._get(op))
            elif isinstance(op, SearchOp):
                results.append(await self._search(op))
            elif isinstance(op, ListNamespacesOp):
                results.append(await self._namespaces(op))
            else:
                raise TypeError(f"this is no operation of a store: {op!r}")
        for key, put in puts.items():
            await self._put(key, put)
        return results

    async def _get(self, op: GetOp) -> Item | None:
        note = await self._note(_note_key(op.namespace, op.key))
        if note is None:
            return None
        await self._touched(note, refresh=op.refresh_ttl)
        return Item(**_fields(note))

    async def _put(self, key: str, op: PutOp) -> None:
        before = await self._note(key)
        old = [] if before is None else list(before.value["chunks"])
        if op.value is None:
            await self._memory.notes.delete(self._scope, key)
            await self._memory.chunks.delete(self._scope, *old, collection=COLLECTION)
            return
        chunks = self._chunks(key, op)
        if chunks:
            await self._memory.chunks.upsert(self._scope, *chunks, collection=COLLECTION)
        now = datetime.now(UTC).isoformat()
        value = {
            "namespace": list(op.namespace),
            "key": op.key,
            "value": dict(op.value),
            "created": now if before is None else before.value["created"],
            "updated": now,
            "ttl": op.ttl,
            "chunks": [chunk.id for chunk in chunks],
        }
        await self._memory.notes.put(self._scope, key, value, ttl=_seconds(op.ttl))
        gone = set(old) - {chunk.id for chunk in chunks}
        await self._memory.chunks.delete(self._scope, *gone, collection=COLLECTION)

    def _chunks(self, key: str, op: PutOp) -> list[Chunk]:
        """The texts by which an item is found."""
        fields = self._fields if op.index is None else op.index
        if self._fields is None or not fields:
            return []
        texts = [
            text
            for field in fields
            for text in get_text_at_path(
                dict(op.value or {}), field if field == "$" else tokenize_path(field)
            )
        ]
        mark = blake2b(key.encode("utf-8", "replace"), digest_size=16).hexdigest()
        levels = {f"level{at}": name for at, name in enumerate(op.namespace)}
        return [
            Chunk(text[:MAX_CHUNK_CHARS], f"{mark}.{at}", {**levels, "note": key})
            for at, text in enumerate(dict.fromkeys(texts))
            if text
        ]

    async def _search(self, op: SearchOp) -> list[SearchItem]:
        if op.query and self._fields is not None:
            found = await self._ranked(op)
        else:
            found = [(note, None) for note in await self._notes(op.namespace_prefix)]
        fitting = [
            (note, score) for note, score in found if _fits(note.value["value"], op.filter or {})
        ][op.offset : op.offset + op.limit]
        for note, _ in fitting:
            await self._touched(note, refresh=op.refresh_ttl)
        return [SearchItem(**_fields(note), score=score) for note, score in fitting]

    async def _ranked(self, op: SearchOp) -> list[tuple[Note, float | None]]:
        """The items that fit the query, each once, the best first."""
        wanted = (op.offset + op.limit) * _MORE
        found = await self._memory.chunks.search(
            self._scope,
            op.query,
            mode="text" if self._memory.chunks.embedder is None else "vector",
            limit=MAX_FOUND if op.filter else max(1, min(wanted, MAX_FOUND)),
            where={f"level{at}": name for at, name in enumerate(op.namespace_prefix)},
            collection=COLLECTION,
        )
        best: dict[str, FoundChunk] = {}
        for one in found:
            if one.scope == self._scope:
                best.setdefault(str(one.metadata["note"]), one)
        items: list[tuple[Note, float | None]] = []
        for key, one in best.items():
            note = await self._note(key)
            if note is not None and one.id in note.value["chunks"]:
                items.append((note, one.score))
            else:  # its item has run out
                await self._memory.chunks.delete(self._scope, one.id, collection=COLLECTION)
        return items

    async def _namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        conditions = op.match_conditions or ()
        depth = op.max_depth
        found = {tuple(note.value["namespace"]) for note in await self._notes(())}
        matching = {one for one in found if all(_matches(each, one) for each in conditions)}
        cut = sorted({one[:depth] for one in matching})
        return cut[op.offset : op.offset + op.limit]

    async def _note(self, key: str) -> Note | None:
        return await self._memory.notes.get(self._scope, key)

    async def _notes(self, prefix: Sequence[str]) -> list[Note]:
        """The items below ``prefix``, the latest first."""
        notes = await self._memory.notes.list(self._scope, prefix=_path(prefix), limit=_ALL)
        own = [note for note in notes if note.scope == self._scope]
        return sorted(own, key=lambda note: str(note.value["updated"]), reverse=True)

    async def _touched(self, note: Note, *, refresh: bool) -> None:
        """Begin the time of what was read anew."""
        ttl = _seconds(note.value["ttl"])
        if refresh and ttl is not None:
            await self._memory.notes.put(self._scope, note.key, note.value, ttl=ttl)


def _path(namespace: Sequence[str]) -> str:
    return _KEYS + "".join(f"{quote(name, safe='')}/" for name in namespace)


def _note_key(namespace: Sequence[str], key: str) -> str:
    # After two slashes, as no namespace has an empty name: a key is not the next namespace.
    return f"{_path(namespace)}/{quote(key, safe='')}"


def _fields(note: Note) -> dict[str, Any]:
    kept = note.value
    return {
        "value": kept["value"],
        "key": kept["key"],
        "namespace": tuple(kept["namespace"]),
        "created_at": datetime.fromisoformat(kept["created"]),
        "updated_at": datetime.fromisoformat(kept["updated"]),
    }


def _seconds(minutes: float | None) -> float | None:
    return None if minutes is None else minutes * 60


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _fits(value: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(_compares(value.get(key), one) for key, one in wanted.items())


def _compares(value: Any, wanted: Any) -> bool:
    """Whether ``value`` is as a filter of LangGraph's has it."""
    if isinstance(wanted, dict):
        if any(key.startswith("$") for key in wanted):
            return all(_operated(value, key, one) for key, one in wanted.items())
        return isinstance(value, dict) and _fits(value, wanted)
    return bool(value == wanted)


def _operated(value: Any, name: str, other: Any) -> bool:
    if name == "$eq":
        return bool(value == other)
    if name == "$ne":
        return bool(value != other)
    if name not in _ORDERS:
        raise ValueError(f"a filter has $eq, $ne, {', '.join(_ORDERS)}, not {name!r}")
    if value is None:
        return False
    return _ORDERS[name](float(value), float(other))


_ORDERS: dict[str, Callable[[float, float], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def _matches(condition: MatchCondition, namespace: Sequence[str]) -> bool:
    path = condition.path
    if len(namespace) < len(path):
        return False
    part = namespace[: len(path)]
    if condition.match_type == "suffix":
        part = namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", name) for wanted, name in zip(path, part, strict=True))
