"""What an agent or a team of AutoGen's streams, told to a run."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from codin.agent.adapters._run import Run
from codin.agent.events import ArtifactProduced

_TOLD_SECONDS = 1.0
_OPEN, _CLOSE = "<think>", "</think>"


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody outside is asked: the answer is a message of ``source``, which hands back to
    ``target``, if there is one."""

    prompt: str
    source: str
    target: str = ""


class Reader:
    """Tells ``run`` what is streamed, and keeps what is asked of somebody outside."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.asked: Asked | None = None
        self._speaker = ""
        self._messages: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._thinking: set[str] = set()
        self._thought: set[str] = set()
        self._seen: dict[str, asyncio.Event] = {}
        self._passed: Any = None
        self._code: dict[str, str] = {}

    async def told(self, call_id: str) -> None:
        """Until all is told that came before a call, which in a team may begin before it is."""
        with suppress(TimeoutError):  # an agent of somebody's own may tell of no calls
            await asyncio.wait_for(self._event(call_id).wait(), _TOLD_SECONDS)

    async def read(self, message: Any, names: Collection[str]) -> None:
        source = getattr(message, "source", "")
        kinds = {cls.__name__.partition("[")[0] for cls in type(message).__mro__}
        if source not in names or not kinds & {"BaseChatMessage", "BaseAgentEvent"}:
            return
        await self._speaks(source)
        if "HandoffMessage" in kinds:
            await self._handed(message, names)
        elif "StructuredMessage" in kinds:
            await self._structured(message)
        elif "MultiModalMessage" in kinds:
            await self._shown(message)
        elif "BaseTextChatMessage" in kinds:
            await self._whole(source, message.content)
        else:
            await self._event_of(source, message)

    async def _event_of(self, source: str, event: Any) -> None:
        match type(event).__name__:
            case "ModelClientStreamingChunkEvent":
                await self._piece(source, event.content)
            case "ThoughtEvent":
                await self._reasoned(source, event.content)
            case "ToolCallRequestEvent":
                await self._called(source, event.content)
            case "ToolCallExecutionEvent":
                for result in event.content:
                    await self.run.result(
                        result.call_id, result.name, result.content, is_error=bool(result.is_error)
                    )
            case "CodeGenerationEvent":
                await self._wrote(source, event)
            case "CodeExecutionEvent":
                await self._executed(source, event.result)
            case "UserInputRequestedEvent":
                self._asks(source)

    async def _speaks(self, name: str) -> None:
        if self._speaker and name != self._speaker:
            await self.run.hand_off(self._speaker, name)
        self._speaker = name

    async def _piece(self, source: str, text: str) -> None:
        """AutoGen streams what a model reasons as text between two tags."""
        if text.startswith(_OPEN):
            self._thinking.add(source)
            text = text.removeprefix(_OPEN)
        if source in self._thinking:
            thought, closed, text = text.partition(_CLOSE)
            self._thought.add(source)
            await self.run.thought(thought)
            if closed:
                self._thinking.discard(source)
        if text:
            self._texts[source] = self._texts.get(source, "") + text
            await self.run.delta(self._message_of(source), text)

    async def _reasoned(self, source: str, content: str) -> None:
        """Text beside tool calls is called a thought too; it was streamed as the text it is."""
        if self._texts.get(source, "").strip() == content.strip():
            return
        if source not in self._thought:
            await self.run.thought(content)

    async def _called(self, source: str, calls: Any) -> None:
        await self._whole(source, self._texts.get(source, ""))
        for call in calls:
            with suppress(ValueError):
                given = json.loads(call.arguments)
                if isinstance(given, dict):
                    await self.run.call(call.id, call.name, given)
            self._event(call.id).set()

    async def _wrote(self, source: str, event: Any) -> None:
        await self._whole(source, event.content)
        if event.code_blocks:
            self._code[source] = uuid.uuid4().hex
            code = "\n\n".join(block.code for block in event.code_blocks)
            await self.run.call(self._code[source], "code", {"code": code})

    async def _executed(self, source: str, result: Any) -> None:
        call_id = self._code.pop(source, None) or uuid.uuid4().hex
        failed = result.exit_code != 0
        await self.run.result(call_id, "code", result.output, is_error=failed)

    async def _whole(self, source: str, text: str) -> None:
        await self.run.final(self._message_of(source), text)
        for kept in (self._messages, self._texts):
            kept.pop(source, None)
        self._thinking.discard(source)
        self._thought.discard(source)
        self._passed = None

    async def _structured(self, message: Any) -> None:
        await self._whole(message.source, message.content.model_dump_json())
        data = message.content.model_dump(mode="json")
        await self.run.emit(ArtifactProduced(artifact_id=message.id, data=data))

    async def _shown(self, message: Any) -> None:
        texts = [part for part in message.content if isinstance(part, str)]
        await self._whole(message.source, "\n".join(texts))
        for image in [part for part in message.content if not isinstance(part, str)]:
            await self.run.emit(
                ArtifactProduced(
                    artifact_id=uuid.uuid4().hex,
                    raw=base64.b64decode(image.to_base64()),
                    media_type="image/png",
                )
            )

    async def _handed(self, message: Any, names: Collection[str]) -> None:
        await self._whole(message.source, self._texts.get(message.source, ""))
        self._passed = message
        if message.target in names:
            await self._speaks(message.target)
        else:
            self.asked = Asked(message.content, message.target, message.source)

    def _asks(self, source: str) -> None:
        passed = self._passed
        if passed is not None and passed.target == source:
            self.asked = Asked(passed.content, source, passed.source)
        else:
            self.asked = Asked(f"{source} is asked for an answer", source)

    def _message_of(self, source: str) -> str:
        return self._messages.setdefault(source, uuid.uuid4().hex)

    def _event(self, call_id: str) -> asyncio.Event:
        return self._seen.setdefault(call_id, asyncio.Event())
