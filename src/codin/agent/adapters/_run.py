"""One run as an adapter tells it: each thing once, in order, with nothing left open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from codin.agent._parts import jsonable
from codin.agent.adapters._message import result_text
from codin.agent.events import (
    END_EVENTS,
    AgentEvent,
    HandOff,
    TextDelta,
    TextFinal,
    Thought,
    ToolCall,
    ToolResult,
    Usage,
)
from codin.tool.base import Tool, ToolError
from codin.tool.context import calling


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What came of a tool call: the value, and the text that the model is given for it."""

    value: Any
    text: str
    is_error: bool = False


class Run:
    """Events on their way out. Frameworks repeat themselves; this says everything once.

    ``stopped`` is set just before the run is cancelled, and when it is over.
    """

    def __init__(self, send: Callable[[AgentEvent], Awaitable[None]]) -> None:
        self.stopped = False
        self._send = send
        self._open: dict[str, str] = {}
        self._final: dict[str, str] = {}
        self._calls: dict[str, str] = {}
        self._answered: set[str] = set()

    async def emit(self, event: AgentEvent) -> None:
        """Say ``event`` as it is. An end event closes open texts first."""
        if isinstance(event, END_EVENTS):
            await self.finish()
        await self._send(event)

    async def delta(self, message_id: str, text: str) -> None:
        if text:
            self._open[message_id] = self._open.get(message_id, "") + text
            await self._send(TextDelta(message_id=message_id, text=text))

    async def final(self, message_id: str, text: str) -> None:
        """The whole text of a message, which makes it the last one; not said twice in a row."""
        self._open.pop(message_id, None)
        if text and next(reversed(self._final.items()), None) != (message_id, text):
            self._final.pop(message_id, None)
            self._final[message_id] = text
            await self._send(TextFinal(message_id=message_id, text=text))

    async def thought(self, text: str) -> None:
        if text:
            await self._send(Thought(text=text))

    async def call(self, call_id: str, name: str, arguments: Mapping[str, Any]) -> None:
        if call_id not in self._calls:
            self._calls[call_id] = name
            plain = {str(k): jsonable(v) for k, v in arguments.items()}
            await self._send(ToolCall(call_id=call_id, name=name, arguments=plain))

    def known(self, call_id: str, name: str) -> None:
        """Take a call as told: it was, before the run paused."""
        self._calls[call_id] = name

    async def result(
        self, call_id: str, name: str, content: Any, *, is_error: bool = False
    ) -> None:
        if call_id not in self._answered:
            self._answered.add(call_id)
            await self.call(call_id, name, {})
            await self._send(
                ToolResult(
                    call_id=call_id,
                    name=name or self._calls[call_id],
                    content=jsonable(content),
                    is_error=is_error,
                )
            )

    def has_result(self, call_id: str) -> bool:
        """Whether the result of the call was said."""
        return call_id in self._answered

    async def hand_off(self, from_agent: str, to_agent: str) -> None:
        await self._send(HandOff(from_agent=from_agent, to_agent=to_agent))

    async def usage(self, model: str, input_tokens: int | None, output_tokens: int | None) -> None:
        if input_tokens or output_tokens:
            await self._send(
                Usage(
                    model=model or "",
                    input_tokens=input_tokens or 0,
                    output_tokens=output_tokens or 0,
                )
            )

    async def use(self, tool: Tool, call_id: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        """Call ``tool`` for the model. What goes wrong is an answer that the model can act on."""
        await self.call(call_id, tool.name, arguments)
        try:
            # The call's record and live output carry the id of the agent's own events.
            with calling(call_id):
                value = await tool.invoke(**arguments)
            answer = ToolAnswer(value, result_text(value))
        except ToolError as error:
            answer = ToolAnswer(str(error), str(error), is_error=True)
        except Exception as error:
            text = f"{tool.name} failed: {type(error).__name__}: {error}"
            answer = ToolAnswer(text, text, is_error=True)
        await self.result(call_id, tool.name, answer.value, is_error=answer.is_error)
        return answer

    @property
    def last_text(self) -> str:
        """The last message's text so far."""
        said = {**self._final, **self._open}
        return next(reversed(said.values()), "")

    @property
    def open_call(self) -> tuple[str, str] | None:
        """The id and tool of the only call without a result, if there is one only."""
        open_calls = [call for call in self._calls.items() if call[0] not in self._answered]
        return open_calls[0] if len(open_calls) == 1 else None

    async def finish(self) -> None:
        """Close texts that were begun and never ended."""
        for message_id, text in list(self._open.items()):
            await self.final(message_id, text)
