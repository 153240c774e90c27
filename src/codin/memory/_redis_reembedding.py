"""How the texts of collections in Redis or Valkey get vectors of another embedder."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from codin.ids import new_id
from codin.memory._chunk_store import Outdated
from codin.memory._redis_scripts import COMMON, PAGE_BYTES, WRITING
from codin.memory._redis_server import KEYS, RedisServer, base_of
from codin.memory.embedder import Space, check_space
from codin.security import Scope

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

_LOOKED_AT = 5_000
"""Of a collection's chunks in one step, in which the server answers nobody else."""
_PLACED = 500

# Who holds what was there sees by the name of its state that it is another one.
SWITCH = (
    COMMON
    + """
local name, embedder, dimension, fresh = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local about = base .. 'about:' .. name
local known = redis.call('HMGET', about, 'epoch', 'embedder', 'dimension')
if known[1] and (known[2] ~= embedder or known[3] ~= dimension) then
    redis.call('UNLINK', base .. 'vectors:' .. name)
    redis.call('HSET', about, 'embedder', embedder, 'dimension', dimension, 'epoch', fresh)
end
"""
)
"""Make a collection, if it is there, one of an embedder and a dimension, without vectors where it
was of another one: collection, embedder, dimension, a name for its state."""

OUTDATED = (
    COMMON
    + f"""
local name, now, most, upto = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local numbers, vectors = base .. 'numbers:' .. name, base .. 'vectors:' .. name
local known = redis.call('HMGET', base .. 'about:' .. name, 'epoch', 'embedder', 'dimension')
if not known[1] then return {{}} end
local rows, bytes, last = {{}}, 0, ''
if redis.call('HLEN', vectors) < redis.call('ZCARD', numbers) then
    local some = redis.call(
        'ZRANGEBYSCORE', numbers, '(' .. upto, '+inf', 'LIMIT', 0, {_LOOKED_AT})
    if #some == {_LOOKED_AT} then last = some[#some] end
    for _, number in ipairs(some) do
        if redis.call('HEXISTS', vectors, number) == 0 then
            local expires = redis.call('ZSCORE', base .. 'expiring', number .. ' ' .. name)
            if not expires or tonumber(expires) > now then
                local chunk = redis.call('HGET', base .. 'chunks:' .. name, number)
                table.insert(rows, {{number, chunk}})
                bytes = bytes + #chunk
                if #rows == most or bytes > {PAGE_BYTES} then
                    last = number
                    break
                end
            end
        end
    end
end
return {{known[2] or '', known[3] or '', rows, last}}
"""
)
"""Chunks of a collection that have no vector and have not run out: collection, now, how many, the
number after which they are looked for. Gives nothing where there is no such collection; otherwise
embedder, dimension, numbers with chunks, and the number after which there may be more, if any."""

# Under new numbers: who holds chunks sees by these what is new.
PLACE = (
    COMMON
    + WRITING
    + """
local name, embedder, dimension = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HMGET', base .. 'about:' .. name, 'embedder', 'dimension')
if known[1] ~= embedder or known[2] ~= dimension then return 0 end
local chunks, vectors = base .. 'chunks:' .. name, base .. 'vectors:' .. name
local found, old = {}, {}
for at = 4, #ARGV, 2 do
    local number = ARGV[at]
    local chunk = redis.call('HGET', chunks, number)
    if chunk and redis.call('HEXISTS', vectors, number) == 0 then
        local expires = redis.call('ZSCORE', base .. 'expiring', number .. ' ' .. name)
        table.insert(found, {chunk, ARGV[at + 1], expires})
        table.insert(old, number)
    end
end
leave(name, old)
for _, one in ipairs(found) do
    local chunk, vector, expires = unpack(one, 1, 3)
    local number = text(redis.call('INCR', base .. 'last'))
    redis.call('HSET', base .. 'ids:' .. name, cjson.decode(chunk)[1], number)
    redis.call('HSET', chunks, number, chunk)
    redis.call('HSET', vectors, number, vector)
    redis.call('ZADD', base .. 'numbers:' .. name, number, number)
    if expires then redis.call('ZADD', base .. 'expiring', expires, number .. ' ' .. name) end
end
return #found
"""
)
"""Give chunks of a collection vectors, where they are there, have none, and the collection is of
that embedder and dimension: collection, embedder, dimension, then numbers with vectors. Gives how
many that are."""


async def switched(server: RedisServer, scope: Scope | None, name: str, space: Space) -> None:
    """Make the collections that are called ``name`` ones of ``space``, without vectors where they
    were of another one."""
    async for base in _bases(server, scope, name):
        await server.run(SWITCH, base, name, space.embedder, space.dimension, new_id())


async def outdated(
    server: RedisServer, scope: Scope | None, name: str, space: Space, most: int
) -> list[Outdated]:
    """At most so many chunks without a vector.

    Raises:
        EmbeddingError: a collection is of another space.
    """
    found: list[Outdated] = []
    async for base in _bases(server, scope, name):
        upto: bytes | str = "0"
        while upto and len(found) < most:
            answer = await server.run(OUTDATED, base, name, time.time(), most - len(found), upto)
            if not answer:
                break
            embedder, dimension, rows, upto = answer
            check_space(name, Space(embedder.decode(), int(dimension or 0)), space)
            for number, kept in rows:
                _, _, _, text, _ = json.loads(kept)
                found.append(Outdated((base, name, number), text))
        if len(found) == most:
            break
    return found


async def place(
    server: RedisServer, keys: Sequence[Any], vectors: NDArray[float32], space: Space
) -> int:
    """Give chunks their vectors; how many of them are still there and of ``space``."""
    given: defaultdict[tuple[str, str], list[tuple[bytes, bytes]]] = defaultdict(list)
    for (base, name, number), vector in zip(keys, vectors, strict=True):
        given[base, name].append((number, vector.astype("<f4").tobytes()))
    placed = 0
    for (base, name), rows in given.items():
        for at in range(0, len(rows), _PLACED):
            some = [value for row in rows[at : at + _PLACED] for value in row]
            placed += await server.run(PLACE, base, name, space.embedder, space.dimension, *some)
    return placed


async def _bases(server: RedisServer, scope: Scope | None, name: str) -> AsyncIterator[str]:
    """What the keys begin with of all who have a collection that is called ``name``, or of one."""
    if scope is not None:
        yield base_of(scope)
        return
    about = f"about:{name}"
    wanted = "".join(f"\\{one}" if one in "*?[]\\^" else one for one in about)
    cursor: bytes | str = "0"
    seen = set[str]()
    while True:
        cursor, keys = await server.call(
            "SCAN", cursor, "MATCH", f"{KEYS}{{*}}:{wanted}", "COUNT", 1000
        )
        for key in keys:
            # Another collection's name may end like this one's key.
            owner, _, rest = key.decode().removeprefix(KEYS).partition("}:")
            base = f"{KEYS}{owner}}}:"
            if rest == about and base not in seen:
                seen.add(base)
                yield base
        if int(cursor) == 0:
            return
