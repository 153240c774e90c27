"""What a Redis or Valkey server does in one step, in its own Lua.

All keys of a tenant's user begin with one text, whose part in braces keeps them together on one
server of a cluster:

- ``places``: the agents and sessions that have messages, each as a JSON array; for each of them
  ``messages:`` has them by their ids, and ``order:`` the ids by their numbers
- ``notes``: by agent, session and key (a JSON array); ``over``: those that run out, by when
- ``collections``: their names; for each ``about:`` says what it is, ``ids:`` has the numbers of its
  chunks by agent, session and id, ``chunks:`` and ``vectors:`` what is kept of each number,
  ``numbers:`` those that are there, in their order, and ``gone:`` those taken out most recently
- ``expiring``: numbers of chunks that run out, each with its collection's name, by when
- ``last``: the last number that was given to anything
"""

from __future__ import annotations

COMMON = """
local base = KEYS[1]
local function within(place)
    return (ARGV[1] == '' or ARGV[1] == place[1]) and (ARGV[2] == '' or ARGV[2] == place[2])
end
local function text(number) return string.format('%.0f', number) end
local function drop(name)
    for _, kind in ipairs({'about:', 'ids:', 'chunks:', 'vectors:', 'numbers:', 'gone:'}) do
        redis.call('UNLINK', base .. kind .. name)
    end
    redis.call('SREM', base .. 'collections', name)
end
local function take_out(name, number)
    local kept = redis.call('HGET', base .. 'chunks:' .. name, number)
    if not kept then return end
    local key = cjson.decode(kept)[1]
    redis.call('HDEL', base .. 'ids:' .. name, key)
    redis.call('HDEL', base .. 'chunks:' .. name, number)
    redis.call('HDEL', base .. 'vectors:' .. name, number)
    redis.call('ZREM', base .. 'numbers:' .. name, number)
    redis.call('ZREM', base .. 'expiring', number .. ' ' .. name)
end
"""

_MOST_GONE = 10_000
"""So many numbers of chunks that were taken out are kept: who has not looked for longer reads the
collection anew."""

WRITING = f"""
local function leave(name, numbers)
    if #numbers == 0 then return end
    local last = redis.call('INCR', base .. 'last')
    local gone = base .. 'gone:' .. name
    for _, number in ipairs(numbers) do
        take_out(name, number)
        redis.call('ZADD', gone, text(last), number)
    end
    local over = redis.call('ZCARD', gone) - {_MOST_GONE}
    if over > 0 then
        local newest = redis.call('ZRANGE', gone, over - 1, over - 1, 'WITHSCORES')
        redis.call('HSET', base .. 'about:' .. name, 'floor', newest[2])
        redis.call('ZREMRANGEBYRANK', gone, 0, over - 1)
    end
end
local function purge(now)
    local over = redis.call('ZRANGEBYSCORE', base .. 'expiring', '-inf', now, 'LIMIT', 0, 1000)
    local names, numbers = {{}}, {{}}
    for _, one in ipairs(over) do
        local number, name = string.match(one, '^(%d+) (.*)$')
        if not numbers[name] then
            numbers[name] = {{}}
            table.insert(names, name)
        end
        table.insert(numbers[name], number)
    end
    for _, name in ipairs(names) do leave(name, numbers[name]) end
end
"""

APPEND = (
    COMMON
    + """
local place = ARGV[3]
redis.call('SADD', base .. 'places', place)
for at = 4, #ARGV, 2 do
    if redis.call('HSETNX', base .. 'messages:' .. place, ARGV[at], ARGV[at + 1]) == 1 then
        local number = redis.call('INCR', base .. 'last')
        redis.call('ZADD', base .. 'order:' .. place, text(number), ARGV[at])
    end
end
"""
)
"""Keep messages: agent, session, both as a place, then ids with messages."""

MESSAGES = (
    COMMON
    + """
local above, below, limit, newest = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6] == '1'
local places = {}
for _, place in ipairs(redis.call('SMEMBERS', base .. 'places')) do
    if within(cjson.decode(place)) then table.insert(places, place) end
end
if #ARGV > 6 then
    local first
    for _, place in ipairs(places) do
        local score = redis.call('ZSCORE', base .. 'order:' .. place, ARGV[7])
        if score and (not first or tonumber(score) < first) then first = tonumber(score) end
    end
    if not first then return {} end
    below = '(' .. text(first)
end
local found = {}
for _, place in ipairs(places) do
    local order, rows = base .. 'order:' .. place
    if newest then
        rows = redis.call(
            'ZREVRANGEBYSCORE', order, below, above, 'WITHSCORES', 'LIMIT', 0, limit)
    else
        rows = redis.call('ZRANGEBYSCORE', order, above, below, 'WITHSCORES', 'LIMIT', 0, limit)
    end
    for at = 1, #rows, 2 do
        table.insert(found, {tonumber(rows[at + 1]), place, rows[at]})
    end
end
table.sort(found, function(one, other)
    if newest then return one[1] > other[1] end
    return one[1] < other[1]
end)
local answer = {}
for at = 1, math.min(limit, #found) do
    local number, place, id = unpack(found[at])
    local message = redis.call('HGET', base .. 'messages:' .. place, id)
    table.insert(answer, {text(number), place, message})
end
return answer
"""
)
"""Messages within agent and session: between two numbers, so many, the newest of them (1) or the
oldest (0), of all that are older than the one of a certain id, if it is given."""

PUT = (
    COMMON
    + """
local field, note, now, expires = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local over = redis.call('ZRANGEBYSCORE', base .. 'over', '-inf', now, 'LIMIT', 0, 1000)
for _, one in ipairs(over) do
    redis.call('HDEL', base .. 'notes', one)
    redis.call('ZREM', base .. 'over', one)
end
redis.call('HSET', base .. 'notes', field, note)
if expires == '' then
    redis.call('ZREM', base .. 'over', field)
else
    redis.call('ZADD', base .. 'over', expires, field)
end
"""
)
"""Keep a note: agent, session, field, note, now, when it runs out."""

NOTES = (
    COMMON
    + """
local prefix, now = ARGV[3], ARGV[4]
local over = {}
for _, one in ipairs(redis.call('ZRANGEBYSCORE', base .. 'over', '-inf', now)) do
    over[one] = true
end
local found = {}
for _, field in ipairs(redis.call('HKEYS', base .. 'notes')) do
    local owner = cjson.decode(field)
    if within(owner) and not over[field] and string.sub(owner[3], 1, #prefix) == prefix then
        table.insert(found, {owner[3], field})
    end
end
table.sort(found, function(one, other)
    return one[1] < other[1] or (one[1] == other[1] and one[2] < other[2])
end)
local answer = {}
for at, one in ipairs(found) do answer[at] = one[2] end
return answer
"""
)
"""The fields of notes within agent and session whose keys begin with a prefix, by key."""

DROP = """
local kept = redis.call('HGET', KEYS[1] .. 'notes', ARGV[1])
redis.call('HDEL', KEYS[1] .. 'notes', ARGV[1])
redis.call('ZREM', KEYS[1] .. 'over', ARGV[1])
return kept
"""
"""Delete a note by its field; gives what it was."""

WRITE = (
    COMMON
    + WRITING
    + """
local name, now, expires, fresh = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local embedder, dimension = ARGV[7], ARGV[8]
local about, numbers = base .. 'about:' .. name, base .. 'numbers:' .. name
local known = redis.call('HMGET', about, 'embedder', 'dimension')
if redis.call('ZCARD', numbers) > 0 and known[1] and dimension ~= ''
        and (known[1] ~= embedder or known[2] ~= dimension) then
    return known
end
purge(now)
if redis.call('ZCARD', numbers) == 0 then
    drop(name)
    redis.call('HSET', about, 'epoch', fresh)
end
if dimension ~= '' then
    redis.call('HSET', about, 'embedder', embedder, 'dimension', dimension)
end
redis.call('SADD', base .. 'collections', name)
local replaced = {}
for at = 9, #ARGV, 3 do
    local number = redis.call('HGET', base .. 'ids:' .. name, ARGV[at])
    if number then table.insert(replaced, number) end
end
leave(name, replaced)
for at = 9, #ARGV, 3 do
    local number = text(redis.call('INCR', base .. 'last'))
    redis.call('HSET', base .. 'ids:' .. name, ARGV[at], number)
    redis.call('HSET', base .. 'chunks:' .. name, number, ARGV[at + 1])
    if ARGV[at + 2] ~= '' then
        redis.call('HSET', base .. 'vectors:' .. name, number, ARGV[at + 2])
    end
    redis.call('ZADD', numbers, number, number)
    if expires ~= '' then redis.call('ZADD', base .. 'expiring', expires, number .. ' ' .. name) end
end
"""
)
"""Keep chunks: agent, session, collection, now, when they run out, a name for the collection's
state if it is empty, embedder, dimension, then keys with chunks and vectors. Gives embedder and
dimension of the collection where these are others: nothing is kept then."""

REMOVE = (
    COMMON
    + WRITING
    + """
local name, now = ARGV[3], ARGV[4]
purge(now)
local found = {}
for at = 5, #ARGV do
    local number = redis.call('HGET', base .. 'ids:' .. name, ARGV[at])
    if number then
        local expires = redis.call('ZSCORE', base .. 'expiring', number .. ' ' .. name)
        if not expires or tonumber(expires) > tonumber(now) then table.insert(found, number) end
    end
end
leave(name, found)
return #found
"""
)
"""Take out chunks: agent, session, collection, now, then keys; gives how many there were."""

PAGE_BYTES = 4_000_000

CHANGES = (
    COMMON
    + f"""
local name, epoch, seen, upto = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local about = redis.call(
    'HMGET', base .. 'about:' .. name, 'epoch', 'floor', 'embedder', 'dimension')
if not about[1] then return {{}} end
local anew = about[1] ~= epoch or tonumber(about[2] or '0') > tonumber(seen)
local gone = {{}}
if anew then
    upto = '0'
else
    gone = redis.call('ZRANGEBYSCORE', base .. 'gone:' .. name, '(' .. seen, '+inf')
end
local rows, bytes, more = {{}}, 0, 0
local numbers = redis.call(
    'ZRANGEBYSCORE', base .. 'numbers:' .. name, '(' .. upto, '+inf', 'LIMIT', 0, 2000)
for at, number in ipairs(numbers) do
    local chunk = redis.call('HGET', base .. 'chunks:' .. name, number)
    local vector = redis.call('HGET', base .. 'vectors:' .. name, number) or ''
    table.insert(rows, {{number, chunk, vector}})
    bytes = bytes + #chunk + #vector
    if at == 2000 or bytes > {PAGE_BYTES} then
        more = 1
        break
    end
end
local last = redis.call('GET', base .. 'last') or '0'
return {{about[1], anew and 1 or 0, last, about[3] or '', about[4] or '', gone, rows, more}}
"""
)
"""What has changed in a collection: agent, session, collection, the name of its state, the number
up to which its changes are known, and the number up to which its chunks are. Gives the name of its
state, whether all that was known is of another one, the last number, embedder, dimension, numbers
of chunks that are gone, some chunks that came, and whether there are more."""

_COUNTS = """
local messages, notes, chunks = 0, 0, 0
local wide = ARGV[1] == '' and ARGV[2] == ''
"""

CONTENTS = (
    COMMON
    + _COUNTS
    + """
for _, place in ipairs(redis.call('SMEMBERS', base .. 'places')) do
    if within(cjson.decode(place)) then
        messages = messages + redis.call('ZCARD', base .. 'order:' .. place)
    end
end
for _, field in ipairs(redis.call('HKEYS', base .. 'notes')) do
    if within(cjson.decode(field)) then notes = notes + 1 end
end
for _, name in ipairs(redis.call('SMEMBERS', base .. 'collections')) do
    if wide then
        chunks = chunks + redis.call('ZCARD', base .. 'numbers:' .. name)
    else
        for _, key in ipairs(redis.call('HKEYS', base .. 'ids:' .. name)) do
            if within(cjson.decode(key)) then chunks = chunks + 1 end
        end
    end
end
return {messages, notes, chunks}
"""
)
"""How many messages, notes and chunks there are within agent and session."""

FORGET = (
    COMMON
    + _COUNTS
    + """
for _, place in ipairs(redis.call('SMEMBERS', base .. 'places')) do
    if within(cjson.decode(place)) then
        messages = messages + redis.call('ZCARD', base .. 'order:' .. place)
        redis.call('UNLINK', base .. 'messages:' .. place, base .. 'order:' .. place)
        redis.call('SREM', base .. 'places', place)
    end
end
for _, field in ipairs(redis.call('HKEYS', base .. 'notes')) do
    if within(cjson.decode(field)) then
        notes = notes + 1
        redis.call('HDEL', base .. 'notes', field)
        redis.call('ZREM', base .. 'over', field)
    end
end
for _, name in ipairs(redis.call('SMEMBERS', base .. 'collections')) do
    local numbers = base .. 'numbers:' .. name
    if wide then
        chunks = chunks + redis.call('ZCARD', numbers)
    else
        local rows, taken = redis.call('HGETALL', base .. 'ids:' .. name), 0
        for at = 1, #rows, 2 do
            if within(cjson.decode(rows[at])) then
                take_out(name, rows[at + 1])
                taken = taken + 1
            end
        end
        chunks = chunks + taken
        if taken > 0 then redis.call('HSET', base .. 'about:' .. name, 'epoch', ARGV[3]) end
    end
    if wide or redis.call('ZCARD', numbers) == 0 then drop(name) end
end
local left = redis.call('EXISTS', base .. 'places', base .. 'notes', base .. 'collections')
if left == 0 then redis.call('UNLINK', base .. 'last', base .. 'over', base .. 'expiring') end
return {messages, notes, chunks}
"""
)
"""Delete all within agent and session, with a name for the state that collections have then; gives
how many messages, notes and chunks there were."""
