"""What a workflow of LlamaIndex's streams, told to a run."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from codin.agent._parts import jsonable
from codin.agent.adapters._message import result_text
from codin.agent.adapters._run import Run
from codin.agent.adapters._threads import ThreadCalls
from codin.agent.adapters.llama_index.pause import fields
from codin.agent.base import AgentError
from codin.agent.events import ArtifactProduced

_ANSWER = "Answer:"


class Reader:
    """Tells ``run`` what a workflow streams, and keeps in ``asked`` what it asks; ``threads`` are
    those in which code of its agents runs."""

    def __init__(self, run: Run, asked: list[dict[str, Any]]) -> None:
        self.run = run
        self.asked = asked
        self._parsers: dict[str, Any] = {}
        self._speaker = ""
        self._message = uuid.uuid4().hex
        self._streamed = ""
        self._thought = False
        self._answered = False
        self._calls: list[tuple[str, dict[str, Any], str]] = []
        self._told = asyncio.Condition()
        self.threads = ThreadCalls()

    def listen_to(self, agents: Mapping[str, Any]) -> None:
        """Know how ``agents`` write: a ReAct agent's thoughts and calls are in its text."""
        self._parsers = {
            name: agent.output_parser
            for name, agent in agents.items()
            if hasattr(agent, "output_parser")
        }

    async def read_all(self, handler: Any) -> bool:
        """Whether the workflow ended; otherwise nothing moves until somebody answers."""
        async for event in handler.stream_events(expose_internal=True):
            kinds = {cls.__name__ for cls in type(event).__mro__}
            if "InputRequiredEvent" in kinds:
                if (asked := fields(event)) not in self.asked:
                    self.asked.append(asked)
            elif "WorkflowIdleEvent" in kinds:
                if not self.asked:
                    raise AgentError("the workflow waits for an event that nobody sends to it")
                return False
            else:
                await self._read(event)
        return True

    async def told(self, name: str, arguments: Mapping[str, Any]) -> str:
        """The id of a call, once all that was streamed before it is told."""
        wanted = (name, dict(arguments))
        async with self._told:
            await self._told.wait_for(lambda: any(c[:2] == wanted for c in self._calls))
            call = next(c for c in self._calls if c[:2] == wanted)
            self._calls.remove(call)
        return call[2]

    async def last(self, handler: Any, *, expected: str) -> None:
        """What the workflow gave, where it was not said before; ``expected`` names the output that
        it has to give besides text.

        Raises:
            AgentError: there is no such output.
        """
        try:
            result = await handler
        except Exception as error:
            if not is_limit(error) or not self._answered or expected:
                raise
            return  # the answer took the last of the steps that there were
        await self.run.finish()
        if getattr(result, "response", None) is not None and hasattr(result, "tool_calls"):
            await self._answer(result.response.content or "")
            if expected and result.structured_response is None:
                raise AgentError(f"the agent's model gave no {expected} that has its schema")
        elif isinstance(result, BaseModel):
            await self._data(fields(result))
        elif isinstance(result, Mapping):
            await self._data(jsonable(result))
        elif result is not None:
            await self._answer(result_text(result))

    async def _answer(self, text: str) -> None:
        if text.strip() and text.strip() != self.run.last_text.strip():
            await self.run.final(uuid.uuid4().hex, text)

    async def _read(self, event: Any) -> None:
        match type(event).__name__:
            case "AgentInput":
                await self._speaks(event.current_agent_name)
            case "AgentStream":
                await self._piece(event)
            case "AgentOutput":
                await self._whole(event)
            case "AgentStreamStructuredOutput":
                await self._data(event.output)
            case "ToolCall":
                await self._called(event)
            case "ToolCallResult":
                await self._returned(event)

    async def _speaks(self, name: str) -> None:
        if self._speaker and name != self._speaker:
            await self.run.hand_off(self._speaker, name)
        self._speaker = name

    async def _piece(self, event: Any) -> None:
        if event.thinking_delta:
            self._thought = True
            await self.run.thought(event.thinking_delta)
        if event.current_agent_name not in self._parsers:
            await self.run.delta(self._message, event.delta)
            return
        said = len(_answer_in(self._streamed))
        self._streamed += event.delta
        await self.run.delta(self._message, _answer_in(self._streamed)[said:])

    async def _whole(self, event: Any) -> None:
        self._answered = not event.tool_calls and not event.retry_messages
        text = event.response.content or ""
        if not self._thought:
            blocks = [b for b in event.response.blocks if b.block_type == "thinking"]
            await self.run.thought("".join(block.content or "" for block in blocks))
        if parser := self._parsers.get(event.current_agent_name):
            # The framework cuts the answer out of the very message that it streams.
            text = await self._parsed(parser, self._streamed or text)
        await self.run.final(self._message, text)
        self._message, self._streamed, self._thought = uuid.uuid4().hex, "", False
        await self._used(event.raw)

    async def _parsed(self, parser: Any, text: str) -> str:
        """The answer in what a ReAct agent wrote; what it thought is told."""
        try:
            step = parser.parse(text, is_streaming=False)
        except ValueError:
            await self.run.thought(text)
            return ""
        if "Thought:" in text:
            await self.run.thought(step.thought)
        return step.response if step.is_done else ""

    async def _used(self, raw: Any) -> None:
        raw = raw if isinstance(raw, Mapping) else {}
        used = raw.get("usage") or {}
        await self.run.usage(
            raw.get("model") or "",
            used.get("prompt_tokens") or used.get("input_tokens"),
            used.get("completion_tokens") or used.get("output_tokens"),
        )

    async def _called(self, event: Any) -> None:
        await self.run.call(event.tool_id, event.tool_name, event.tool_kwargs)
        async with self._told:
            self._calls.append((event.tool_name, dict(event.tool_kwargs), event.tool_id))
            self._told.notify_all()

    async def _returned(self, event: Any) -> None:
        output = event.tool_output
        value = output.content
        if output.raw_output is not None and all(b.block_type == "text" for b in output.blocks):
            value = jsonable(output.raw_output)
        await self.run.result(event.tool_id, event.tool_name, value, is_error=output.is_error)
        for block in output.blocks:
            if (file := made(block)) is not None:
                await self.run.emit(file)

    async def _data(self, value: Any) -> None:
        await self.run.emit(ArtifactProduced(artifact_id=uuid.uuid4().hex, data=value))


def is_limit(error: Exception) -> bool:
    """Whether it says that the model was asked as often as it may."""
    return type(error).__name__ == "WorkflowRuntimeError" and "Max iterations" in str(error)


def _answer_in(text: str) -> str:
    return text.partition(_ANSWER)[2].lstrip()


def made(block: Any) -> ArtifactProduced | None:
    """A file that a tool gave; None for what is none."""
    match block.block_type:
        case "document" if isinstance(block.data, bytes):
            held, media_type, name = block.resolve_document(), block.document_mimetype, block.title
        case "image" if isinstance(block.image, bytes):
            held, media_type, name = block.resolve_image(), block.image_mimetype, ""
        case "audio" if isinstance(block.audio, bytes):
            held, media_type, name = block.resolve_audio(), f"audio/{block.format or 'wav'}", ""
        case _:
            return None
    return ArtifactProduced(
        artifact_id=uuid.uuid4().hex, name=name, media_type=media_type or "", raw=held.read()
    )
