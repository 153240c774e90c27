"""Memory in Redis or Valkey, by the suite of all memories."""

from collections.abc import AsyncIterator

import pytest

from codin.memory import MemorySystem
from codin.memory.redis import RedisMemory
from codin.testing.hashing_embedder import HashingEmbedder
from codin.testing.memory_conformance import MemoryConformance, ReembedConformance
from codin.testing.redis import RedisServer

pytestmark = pytest.mark.slow


class TestRedisMemory(MemoryConformance, ReembedConformance):
    @pytest.fixture
    async def memory(self, redis: RedisServer) -> AsyncIterator[MemorySystem]:
        async with RedisMemory(redis.url(), embedder=HashingEmbedder()) as memory:
            yield memory
        assert redis.say("FLUSHALL") == "+OK"
