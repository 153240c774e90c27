"""Tells a run what a graph streams."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from codin.agent.adapters._message import result_text
from codin.agent.adapters._run import Run
from codin.agent.adapters.langgraph.io import (
    all_messages,
    data_artifact,
    files_in,
    is_blob,
    outputs,
    words,
)
from codin.agent.base import AgentError
from codin.agent.events import END_EVENTS, AgentEvent, ToolOutput

_TOOLS = "tools"
_EVENTS: tuple[type[Any], ...] = get_args(get_args(AgentEvent)[0])


class Reader:
    """Reads a stream of ``messages``, ``updates`` and ``custom`` of a graph and its subgraphs.

    ``name`` is that of the outermost agent. A subgraph is an agent too: its name is that of its
    messages, or of the node that it is.
    """

    def __init__(self, run: Run, name: str) -> None:
        self._run = run
        self._name = name
        self._known: set[str] = set()
        self._begun: set[str] = set()
        self._speaker = ""

    def know(self, messages: Iterable[Any]) -> None:
        """Take ``messages`` as told: nodes give them again with what they add."""
        for message in messages:
            if message.id:
                self._known.add(message.id)
            for call in getattr(message, "tool_calls", ()):
                self._run.known(call["id"] or "", call["name"])
            if message.type == "ai" and message.name:
                self._speaker = message.name

    async def read(self, namespace: Sequence[str], mode: str, data: Any) -> None:
        if mode == "messages":
            await self._chunk(namespace, *data)
        elif mode == "updates":
            for update in data.values():
                for message in all_messages(update):
                    await self._message(namespace, message)
        elif isinstance(data, _EVENTS):
            if not isinstance(data, END_EVENTS):
                await self._run.emit(data)
        else:
            await self._progress(data)

    async def end(self, graph: Any, values: Any) -> None:
        """Tell what the graph ended with."""
        made = list(outputs(graph, values))
        for name, value in made:
            if not isinstance(value, str):
                await self._run.emit(data_artifact(name, value))
        if said := words(graph, values):
            await self._run.finish()
            await self._run.final(uuid.uuid4().hex, said)
        if not made:
            await self._last(values)

    async def _chunk(self, namespace: Sequence[str], chunk: Any, about: Any) -> None:
        if chunk.type != "AIMessageChunk" or chunk.id in self._known:
            return
        if about.get("lc_source") == "summarization":
            return  # The middleware's own request, which shortens the conversation.
        if chunk.id not in self._begun:
            self._begun.add(chunk.id)
            await self._speaks(namespace, about.get("lc_agent_name"))
        await self._run.thought(_reasoning(chunk))
        await self._run.delta(chunk.id or "answer", _text(chunk))

    async def _message(self, namespace: Sequence[str], message: Any) -> None:
        if message.id in self._known or message.type not in {"ai", "tool"}:
            return
        if message.id:
            self._known.add(message.id)
        if message.type == "ai":
            await self._spoke(namespace, message)
        else:
            value = message.artifact
            if value is None or is_blob(value) or _blobs(value):
                value = message.content if isinstance(message.content, str) else _text(message)
            await self._run.result(
                message.tool_call_id, message.name or "", value, is_error=message.status == "error"
            )
        for artifact in files_in(message):
            await self._run.emit(artifact)

    async def _spoke(self, namespace: Sequence[str], message: Any) -> None:
        if message.id not in self._begun:
            await self._speaks(namespace, message.name)
            await self._run.thought(_reasoning(message))
        await self._run.final(message.id or "answer", _text(message))
        for call in message.tool_calls:
            await self._run.call(call["id"] or uuid.uuid4().hex, call["name"], call["args"])
        if used := message.usage_metadata:
            model = message.response_metadata.get("model_name", "")
            await self._run.usage(model, used.get("input_tokens"), used.get("output_tokens"))

    async def _speaks(self, namespace: Sequence[str], name: str | None) -> None:
        """Tell of a hand-off when a message is of another agent than the one before."""
        node = namespace[-1].partition(":")[0] if namespace else self._name
        speaker = name or (node if node != _TOOLS else self._speaker)
        if self._speaker and speaker != self._speaker:
            await self._run.hand_off(self._speaker, speaker)
        self._speaker = speaker

    async def _progress(self, data: Any) -> None:
        """What a node or a tool writes into the stream beside its result."""
        text = result_text(data)
        call_id, name = self._run.open_call or ("", self._speaker or self._name)
        await self._run.emit(
            ToolOutput(call_id=call_id, name=name, stream="progress", text=text + "\n")
        )

    async def _last(self, values: Any) -> None:
        """Make the state's last message the last that is said, and refuse an unusable end."""
        messages = list(all_messages(values))
        said = messages[-1] if messages else None
        if said is not None and said.type == "tool":
            # A tool that returns directly: what it gave is the answer.
            await self._run.finish()
            await self._run.final(said.id or said.tool_call_id, _text(said))
            return
        if said is None or said.type != "ai":
            return
        if said.invalid_tool_calls and not said.tool_calls and not _text(said):
            broken = said.invalid_tool_calls[0]
            raise AgentError(
                f"the model called {broken.get('name')!r} with arguments that are no JSON: "
                f"{str(broken.get('args'))[:200]}"
            )
        # Nodes may have asked the model for themselves: what it said to them is not the answer.
        await self._run.finish()
        if _text(said) != self._run.last_text:
            await self._run.final(said.id or "answer", _text(said))


def _blobs(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(map(is_blob, value))


def _text(message: Any) -> str:
    return str(message.text)


def _reasoning(chunk: Any) -> str:
    given = chunk.additional_kwargs.get("reasoning_content")
    if isinstance(given, str):
        return given
    if isinstance(chunk.content, str):
        return ""
    blocks = [b for b in chunk.content_blocks if b.get("type") == "reasoning"]
    return "".join(str(b.get("reasoning", "")) for b in blocks)
