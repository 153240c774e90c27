"""That nobody sees or changes anything of others, whatever is done in whatever order."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from codin.ids import new_id
from codin.memory.base import Chunk, Contents, MemoryMessage, MemorySystem
from codin.memory.inmemory import InMemoryMemory
from codin.security import Scope
from codin.testing._memory_base import EACH_ITS_OWN, MemoryChecks
from codin.testing.hashing_embedder import HashingEmbedder

_ALL = 1000
_names = st.sampled_from(["a", "b"])
_verbs = st.sampled_from(
    (
        *("append", "append", "list", "window", "put", "put", "get", "notes", "drop"),
        *("upsert", "upsert", "upsert", "delete", "vector", "text", "hybrid"),
        *("forget", "contents", "export"),
    )
)
_steps = st.lists(
    st.tuples(
        *(st.integers(0, 3), _verbs, st.sampled_from([None, "a"]), st.sampled_from([None, "s"])),
        *(_names, _names, st.sampled_from([None, "default", "other"])),
    ),
    max_size=40,
)


class FuzzConformance(MemoryChecks):
    """Four owners, of two tenants and two users, who call everything by the same names."""

    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=EACH_ITS_OWN,
    )
    @given(steps=_steps)
    async def test_each_sees_what_they_would_see_alone(
        self, memory: MemorySystem, steps: list[Any]
    ) -> None:
        tenants, users = (new_id(), new_id()), ("anna", "ben")
        owners = [(tenant, user) for tenant in tenants for user in users]
        alone = [InMemoryMemory(embedder=HashingEmbedder()) for _ in owners]
        for number, (which, verb, agent, session, key, word, collection) in enumerate(steps):
            tenant, user = owners[which]
            scope = Scope(tenant, user, agent, session)
            step = (verb, key, f"{word} of owner{which}", collection or "default", number)
            together = await _done(memory, scope, *step)
            assert together == await _done(alone[which], scope, *step)
            others = [f"owner{other}" for other in range(len(owners)) if other != which]
            assert not any(other in repr(together) for other in others)
        for which, owner in enumerate(owners):
            scope = Scope(*owner)
            for verb in ("export", "contents", "forget", "contents"):
                together = await _done(memory, scope, verb, "", "", "", 0)
                assert together == await _done(alone[which], scope, verb, "", "", "", 0)
            assert await memory.contents(scope) == Contents()


async def _done(  # noqa: C901, PLR0911 - one of each
    memory: MemorySystem, scope: Scope, verb: str, *names: Any
) -> Any:
    """What ``verb`` gives, without what differs from memory to memory."""
    key, text, collection, number = names
    history, notes, chunks = memory.history, memory.notes, memory.chunks
    match verb:
        case "append":
            message = MemoryMessage("user", text, f"{key}{number}", time=1.0)
            session = Scope(scope.tenant, scope.user, scope.agent, scope.session or "none")
            return await history.append(session, message)
        case "list":
            return await history.list(scope)
        case "window":
            return await history.window(scope, max_tokens=30)
        case "put":
            note = await notes.put(scope, key, text)
            return note.key, note.value, note.scope
        case "get":
            found = await notes.get(scope, key)
            return found and (found.value, found.scope)
        case "notes":
            return sorted(repr((one.key, one.value, one.scope)) for one in await notes.list(scope))
        case "drop":
            return await notes.delete(scope, key)
        case "upsert":
            return await chunks.upsert(scope, Chunk(text, key, {"k": key}), collection=collection)
        case "delete":
            return await chunks.delete(scope, key, collection=collection)
        case "vector" | "text" | "hybrid":
            hits = await chunks.search(
                *(scope, text),
                mode=verb,
                limit=_ALL,
                collection=collection,
                where={"k": ["a", key]},
            )
            return sorted(repr((one.id, one.text, one.metadata, one.scope)) for one in hits)
        case "forget":
            return await memory.forget(scope)
        case "contents":
            return await memory.contents(scope)
    exported = [one async for one in memory.export(scope)]
    return sorted(repr({**one, "updated": 0}) for one in exported)
