"""The platform's memory, and what goes in and out of it by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from codin.config import Settings
from codin.gateway.team import TeamProblem
from codin.memory import Embedder, MemorySystem
from codin.memory import open_memory as memory_at
from codin.model.base import ModelClient
from codin.model.embedders import embedder_of
from codin.model.errors import ModelUnavailable, UnknownModel
from codin.security import Authorizer
from codin.task.remembering import MemoryRemembering
from codin.task.summing_up import SummingUp

FILE_NAME = "memory.db"


@dataclass(frozen=True, slots=True)
class PlatformMemory:
    """Memory as the platform has it. ``problem`` says why texts are not found by their meaning,
    where that was asked for."""

    system: MemorySystem
    remembering: MemoryRemembering
    problem: TeamProblem | None = None


@asynccontextmanager
async def open_platform_memory(
    settings: Settings, authorizer: Authorizer, client: ModelClient
) -> AsyncIterator[PlatformMemory]:
    """The memory of ``settings``, until the block is left. Where its embedder cannot be had, texts
    are found by their words. The model of ``client`` sums up conversations, where that is wanted.

    Raises:
        UnknownModel: the settings name no embedder that there is.
    """
    async with open_memory(settings) as (system, problem):
        own = settings.memory
        remembering = MemoryRemembering(
            system,
            authorizer,
            keep=own.keep,
            recall=own.recall,
            window=own.window,
            summing_up=SummingUp(system, client, window=own.window) if own.compact else None,
        )
        try:
            yield PlatformMemory(system, remembering, problem)
        finally:
            await remembering.aclose()


@asynccontextmanager
async def open_memory(
    settings: Settings,
) -> AsyncIterator[tuple[MemorySystem, TeamProblem | None]]:
    """The memory alone, and why it has no embedder where one was asked for.

    Raises:
        MemoryFailure: what a memory at its address needs is not installed.
    """
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with AsyncExitStack() as stack:
        embedder, problem = await _embedder(stack, settings.memory.embedder)
        place = settings.memory.url or settings.home / FILE_NAME
        memory = memory_at(place, embedder=embedder)
        yield await stack.enter_async_context(memory), problem


async def _embedder(
    stack: AsyncExitStack, named: str | None
) -> tuple[Embedder | None, TeamProblem | None]:
    if named is None:
        return None, None
    try:
        embedder = embedder_of(named)
    except UnknownModel as error:
        raise UnknownModel(f"memory.embedder: {error}") from None
    except ModelUnavailable as error:
        reason = f"texts are found by their words only: {error}"
        return None, TeamProblem("memory", reason)
    stack.push_async_callback(embedder.aclose)
    return embedder, None
