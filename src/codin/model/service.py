"""One model for the whole platform: the client that the platform uses and the agents' proxy."""

from __future__ import annotations

from typing import Self

from starlette.applications import Starlette

from codin.model.base import Meter, ModelClient
from codin.model.catalog import ModelChoice, api_key
from codin.model.metering import MemoryMeter
from codin.model.proxy import Authenticate, model_proxy
from codin.model.record import ModelRecord
from codin.model.upstream import HttpUpstream, Upstream


class ModelService:
    """Holds a chosen model while the platform runs; an async context manager.

    The embedded model's process is started by the first request, or by `warm`.
    """

    def __init__(self, choice: ModelChoice, meter: Meter | None = None) -> None:
        self.choice = choice
        self.meter: Meter = meter or MemoryMeter()
        self.upstream = _upstream(choice)
        self.client = _client(choice, self.upstream, self.meter)

    def proxy(self, authenticate: Authenticate, record: ModelRecord | None = None) -> Starlette:
        """The proxy for agents; see `model_proxy`."""
        return model_proxy(self.upstream, authenticate, self.meter, record=record)

    async def warm(self) -> None:
        """Load the embedded model now; does nothing for a model elsewhere.

        Raises:
            ModelUnavailable: it does not come up.
        """
        from codin.model.embedded.upstream import EmbeddedUpstream

        if isinstance(self.upstream, EmbeddedUpstream):
            await self.upstream.server.ready()

    async def aclose(self) -> None:
        """Give back connections and processes. Idempotent."""
        await self.upstream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _upstream(choice: ModelChoice) -> Upstream:
    if choice.provider == "embedded":
        from codin.model.embedded.upstream import EmbeddedUpstream

        return EmbeddedUpstream()
    return HttpUpstream(choice.base_url, choice.name, api_key(choice))


def _client(choice: ModelChoice, upstream: Upstream, meter: Meter) -> ModelClient:
    if choice.provider == "embedded":
        from codin.model.embedded.client import EmbeddedClient

        return EmbeddedClient(choice, upstream, meter)
    from codin.model.providers import ProviderClient

    return ProviderClient(choice, meter)
