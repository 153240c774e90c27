"""The embedded model's process: nobody is told that it is ready before it is."""

import asyncio
from pathlib import Path

import pytest

from codin.model.embedded import server as room
from codin.model.embedded.server import EmbeddedServer


async def test_whoever_asks_while_it_loads_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights.gguf"
    weights.touch()
    loaded = asyncio.Event()

    async def handshake(*_: object) -> None:
        await loaded.wait()

    monkeypatch.setattr(room, "engine_installed", lambda: True)
    monkeypatch.setattr(EmbeddedServer, "_handshake", handshake)
    server = EmbeddedServer(weights)
    try:
        first = asyncio.create_task(server.ready())
        while server.pid is None:
            await asyncio.sleep(0.01)
        second = asyncio.create_task(server.ready())
        await asyncio.sleep(0.05)
        assert not second.done()
        loaded.set()
        assert await second == await first
    finally:
        await server.aclose()
