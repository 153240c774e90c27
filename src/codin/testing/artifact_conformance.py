"""What every store of contents must do. Subclass ``ArtifactStoreSuite`` in a test module, and give
it a fixture ``store`` that yields an open, empty store::

    class TestMine(ArtifactStoreSuite):
        @pytest.fixture
        async def store(self):
            ...

        async def damage(self, store, digest):
            ...  # change the content behind the store's back

Needs pytest with pytest-asyncio in automatic mode.
"""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from codin.task.artifacts import ArtifactStore, digest_of
from codin.task.errors import DamagedArtifact, UnknownArtifact

NEVER = digest_of(b"was never put")


class ArtifactStoreSuite:
    """The contract of ``ArtifactStore``, one test a rule."""

    async def damage(self, store: ArtifactStore, digest: str) -> None:
        """Change the content behind the store's back."""
        raise NotImplementedError("give the store to be checked")

    @pytest.mark.parametrize("content", [b"", b"\x00\xff" * 3, b"x" * 3_000_000])
    async def test_a_content_comes_back_by_its_digest(
        self, store: ArtifactStore, content: bytes
    ) -> None:
        digest = await store.put(content)
        assert digest == hashlib.sha256(content).hexdigest()
        assert await store.get(digest) == content

    async def test_the_same_content_is_there_once(self, store: ArtifactStore) -> None:
        first, again = await asyncio.gather(store.put(b"same"), store.put(b"same"))
        assert first == again
        await store.put(b"same")
        assert await store.old(-60) == [first]

    async def test_contents_put_at_once_are_all_there(self, store: ArtifactStore) -> None:
        contents = [b"%d" % number * 1000 for number in range(40)]
        digests = await asyncio.gather(*(store.put(content) for content in contents))
        assert [await store.get(digest) for digest in digests] == contents

    @pytest.mark.parametrize(
        "digest", [NEVER, "", "../../etc/passwd", NEVER.upper(), NEVER[:2], "\x00" * 64, "é" * 64]
    )
    async def test_what_was_never_put_is_unknown(self, store: ArtifactStore, digest: str) -> None:
        await store.put(b"another")
        with pytest.raises(UnknownArtifact):
            await store.get(digest)

    async def test_what_is_not_as_it_was_put_is_an_error(self, store: ArtifactStore) -> None:
        digest = await store.put(b"right")
        await self.damage(store, digest)
        with pytest.raises(DamagedArtifact, match=digest):
            await store.get(digest)

    async def test_old_ones_are_listed_in_order_and_by_pages(self, store: ArtifactStore) -> None:
        digests = sorted([await store.put(b"%d" % number) for number in range(20)])
        assert await store.old(60) == []
        found: list[str] = []
        while page := await store.old(-60, after=found[-1] if found else "", limit=7):
            assert len(page) <= 7
            found += page
        assert found == digests

    async def test_what_was_put_lately_is_not_removed(self, store: ArtifactStore) -> None:
        digest = await store.put(b"young")
        assert await store.remove(digest, seconds=60) is None
        assert await store.get(digest) == b"young"

    async def test_an_old_one_can_be_removed_and_put_again(self, store: ArtifactStore) -> None:
        digest = await store.put(b"old")
        kept = await store.put(b"kept")
        assert await store.remove(digest, seconds=-60) == 3
        assert await store.remove(digest, seconds=-60) is None
        with pytest.raises(UnknownArtifact):
            await store.get(digest)
        assert await store.get(kept) == b"kept"
        await store.put(b"old")
        assert await store.get(digest) == b"old"
