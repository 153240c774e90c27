"""An agent's answer: a stream of events that can be awaited for its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import aclosing
from dataclasses import dataclass, field

from codin.agent.events import (
    END_EVENTS,
    AgentEvent,
    ArtifactProduced,
    Completed,
    EndEvent,
    Failed,
    TextDelta,
    TextFinal,
    Usage,
)
from codin.errors import CodinError


@dataclass(slots=True)
class Outcome:
    """How a run ended: its last message's text, what it made, what it used, and the end event."""

    end: EndEvent = field(default_factory=Completed)
    text: str = ""
    artifacts: list[ArtifactProduced] = field(default_factory=list)
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def ok(self) -> bool:
        return isinstance(self.end, Completed)


class AgentResponse:
    """Iterate it for the events, or await it for the ``Outcome``; once, either way.

    Exactly one terminal or interrupted event ends it. An exception of the agent becomes a
    ``Failed`` event and is not raised. Cancelling the consumer cancels the agent: the generator
    behind is closed at its current ``await``.
    """

    def __init__(self, events: AsyncGenerator[AgentEvent, None]) -> None:
        self._events = events
        self._taken = False

    async def __aiter__(self) -> AsyncIterator[AgentEvent]:
        self._take()
        async with aclosing(self._events) as events:
            try:
                async for event in events:
                    yield event
                    if isinstance(event, END_EVENTS):
                        return
            except (asyncio.CancelledError, GeneratorExit):
                raise
            except Exception as error:
                yield failure(error)
                return
        yield Completed()

    def __await__(self) -> Generator[object, None, Outcome]:
        return self._collect().__await__()

    async def _collect(self) -> Outcome:
        outcome = Outcome()
        texts: dict[str, str] = {}
        async for event in self:
            match event:
                case TextDelta(message_id=key, text=text):
                    texts[key] = texts.get(key, "") + text
                case TextFinal(message_id=key, text=text):
                    texts.pop(key, None)
                    texts[key] = text
                case ArtifactProduced():
                    outcome.artifacts.append(event)
                case Usage():
                    outcome.input_tokens += event.input_tokens
                    outcome.output_tokens += event.output_tokens
                case _ if isinstance(event, END_EVENTS):
                    outcome.end = event
        outcome.text = next(reversed(texts.values()), "")
        return outcome

    def _take(self) -> None:
        if self._taken:
            raise CodinError("this AgentResponse was consumed already; call handle() again")
        self._taken = True


def failure(error: BaseException) -> Failed:
    """``error`` as the event that ends a run."""
    return Failed(error_type=type(error).__name__, message=str(error) or type(error).__name__)
