"""Tools found by words: full text over what is known of them, and by meaning where that is to be
had."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import weakref
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from codin.tool.base import Tool, ToolSpec
from codin.tool.finding.meanings import Embedder, Meanings

if TYPE_CHECKING:
    from codin.security import Principal
    from codin.tool.registry import ToolRegistry

Key = tuple[str, str]
"""Name and version."""

# bm25 of SQLite's FTS5: what a word counts for in each column. Tried on 34 questions to 1,900
# operations of real APIs; beyond its first line a description is mostly about details.
_COLUMNS = {"name": 10, "summary": 10, "more": 1, "tags": 3, "arguments": 0.5}
_MORE_CHARS = 400
_QUERY_WORDS = 32
_QUERY_CHARS = 1_000
_FUSED = 60
"""How much the first places of a ranking count for more than the next ones (the constant of
reciprocal rank fusion)."""
_MEANING = 1.5
"""What nearness of meaning counts for beside words, tried on 68 questions to these operations."""


class ToolSearch:
    """Finds tools of ``registry``; takes notice of what comes and goes there.

    The index is in memory: an edit of it for each tool that has changed since it was last asked.
    With an ``embedder`` both rankings count, once what is known of the tools is embedded; without
    it, until then, or when it fails, the words alone.
    """

    def __init__(self, registry: ToolRegistry, *, embedder: Embedder | None = None) -> None:
        self._registry = registry
        self._words: _Words | None = None
        self.meanings = Meanings(registry, embedder) if embedder else None
        self._asking = asyncio.Lock()
        self._revision = -1

    async def find(
        self, query: str, among: Mapping[str, Tool], *, most: int = 10
    ) -> list[ToolSpec]:
        """What is known of those of ``among``, tools by name, that fit ``query`` best: the best
        first, and ``most`` of them."""
        async with self._asking:
            words = await self._refreshed()
            fitting = _within(words.ranked(query), among)
            named = among.get(query.strip())
            first = [named.spec] if named else []
            if self.meanings is None:
                return _best(chain(first, fitting), most)
            ranked = list(fitting)
        near = await self.meanings.ranked(query, [tool.spec for tool in among.values()])
        return _best(chain(first, _fused(ranked, near)), most)

    async def find_for(self, principal: Principal, query: str) -> list[ToolSpec]:
        """All that ``principal`` may call and that fits ``query``, the best first."""
        among = {tool.name: tool for tool in self._registry.list(principal)}
        return await self.find(query, among, most=len(among))

    async def _refreshed(self) -> _Words:
        import anyio.to_thread

        if self._words is None:
            self._words = _Words()
        revision = self._registry.revision
        if revision != self._revision:
            specs = {_key(spec): spec for spec in self._registry.everything()}
            # In a thread, which a cancelled search waits for: the index is never used by two.
            await anyio.to_thread.run_sync(self._words.hold, specs)
            self._revision = revision
        return self._words


class _Words:
    """Full text, in SQLite: it is there wherever Python is, and takes 4 ms for 2,000 tools."""

    def __init__(self) -> None:
        self._held: dict[Key, tuple[int, ToolSpec]] = {}
        self._specs: dict[int, ToolSpec] = {}
        self._last = 0
        # One uses it at a time, but not always the same thread.
        self._index = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        weakref.finalize(self, self._index.close)
        self._index.execute(
            f"CREATE VIRTUAL TABLE tool USING fts5({', '.join(_COLUMNS)}, "
            "tokenize='porter unicode61 remove_diacritics 2')"
        )
        weights = ", ".join(map(str, _COLUMNS.values()))
        self._find = (
            f"SELECT rowid FROM tool WHERE tool MATCH ? ORDER BY bm25(tool, {weights}), rowid"  # noqa: S608
        )
        marks = ", ".join("?" for _ in ("rowid", *_COLUMNS))
        self._add = f"INSERT INTO tool(rowid, {', '.join(_COLUMNS)}) VALUES ({marks})"  # noqa: S608

    def hold(self, specs: Mapping[Key, ToolSpec]) -> None:
        """Know ``specs`` and no others."""
        kept = {
            key: (row, spec) for key, (row, spec) in self._held.items() if specs.get(key) is spec
        }
        gone = [(row,) for key, (row, _) in self._held.items() if key not in kept]
        for key in sorted(specs.keys() - kept.keys()):
            self._last += 1
            kept[key] = (self._last, specs[key])
        new = [(row, *_text(spec)) for row, spec in kept.values() if row not in self._specs]
        with self._index:
            self._index.execute("BEGIN")
            self._index.executemany("DELETE FROM tool WHERE rowid = ?", gone)
            self._index.executemany(self._add, new)
        self._held = kept
        self._specs = dict(kept.values())

    def ranked(self, query: str) -> Iterator[ToolSpec]:
        """Those in which a word of ``query`` is, or begins, where none is there as it is; to be
        taken before anything else is asked."""
        # Each word in quotes: nothing of a query is ever read as FTS5's own language.
        words = re.findall(r"\w+", _apart(query[:_QUERY_CHARS].replace("_", " ")))[:_QUERY_WORDS]
        quoted = [f'"{word}"' for word in words]
        for asked in (quoted, [f"{each}*" for each in quoted]):
            rows = self._index.execute(self._find, (" OR ".join(asked),)) if asked else ()
            row = None
            for row in rows:
                yield self._specs[row[0]]
            if row is not None:
                return


def _best(specs: Iterable[ToolSpec], most: int) -> list[ToolSpec]:
    """The first ``most`` of ``specs``, each once."""
    found: dict[str, ToolSpec] = {}
    for spec in specs:
        found.setdefault(spec.name, spec)
        if len(found) >= most:
            break
    return list(found.values())


def _within(specs: Iterable[ToolSpec], among: Mapping[str, Tool]) -> Iterator[ToolSpec]:
    for spec in specs:
        tool = among.get(spec.name)
        # Of a name there may be several versions, and ``among`` has one of them.
        if tool is not None and tool.spec is spec:
            yield spec


def _fused(words: Sequence[ToolSpec], meanings: Sequence[ToolSpec]) -> list[ToolSpec]:
    """One ranking out of both, by reciprocal rank fusion."""
    scores: defaultdict[str, float] = defaultdict(float)
    specs: dict[str, ToolSpec] = {}
    for ranking, weight in ((words, 1.0), (meanings, _MEANING)):
        for place, spec in enumerate(ranking, 1):
            specs[spec.name] = spec
            scores[spec.name] += weight / (_FUSED + place)
    return sorted(specs.values(), key=lambda spec: -scores[spec.name])


def _key(spec: ToolSpec) -> Key:
    return spec.name, spec.version


def _text(spec: ToolSpec) -> tuple[str, ...]:
    """The columns of a tool."""
    summary, _, more = spec.description.partition("\n")
    arguments = " ".join(spec.input_schema.get("properties", {}))
    columns = (spec.name, summary[:_MORE_CHARS], more[:_MORE_CHARS], " ".join(spec.tags), arguments)
    return tuple(map(_apart, columns))


def _apart(text: str) -> str:
    """``text`` with names such as ``listIssues`` as two words, and without what is no Unicode."""
    clean = text.encode(errors="replace").decode()
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", clean)
