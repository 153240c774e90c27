"""The embedded model as a place for chat requests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from codin.model.embedded import wire
from codin.model.embedded.conversation import render
from codin.model.embedded.llama import Llama, Piece
from codin.model.embedded.server import EmbeddedServer
from codin.model.embedded.shim import Shim
from codin.model.embedded.weights import WEIGHTS
from codin.model.upstream import Upstream


class EmbeddedUpstream(Upstream):
    """Answers with the model in the child process; owns that process."""

    def __init__(self, server: EmbeddedServer | None = None) -> None:
        self.name = WEIGHTS.name
        self.server = server or EmbeddedServer()
        self._llama = Llama(self.server)
        self._shim = Shim(self._llama)

    async def complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return await wire.completion(self._shim, body, self.name)

    async def stream(self, body: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        async with aclosing(wire.chunks(self._shim, body, self.name)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def first_words(
        self, messages: Sequence[Mapping[str, Any]]
    ) -> tuple[dict[str, float], Piece]:
        """How likely the next message's first tokens are, and what it took to find out."""
        return await self._llama.first_words(render(messages, [], result_chars=0).prompt)

    async def aclose(self) -> None:
        await self._llama.aclose()
        await self.server.aclose()
