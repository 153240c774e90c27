"""Tells a run what an ADK runner streams."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from codin.agent._parts import jsonable
from codin.agent.adapters._run import Run
from codin.agent.adapters.adk.pause import REQUESTS, Call, Place
from codin.agent.base import AgentError
from codin.agent.events import ArtifactProduced

_PENDING = "pending"


class Reader:
    """Reads the events of a run of ``root``, and keeps the calls that wait for an answer."""

    def __init__(self, run: Run, root: Any, place: Place) -> None:
        self._run = run
        self._place = place
        self._schemas = {agent.name: agent for agent in _agents(root) if _schema(agent)}
        self._begun: set[str] = set()
        self._thought: set[str] = set()
        self._calls: dict[str, Call] = {}
        self._long: list[str] = []
        self._answered: set[str] = set()
        self._speaker = ""
        self._error = ""

    @property
    def waiting(self) -> list[Call]:
        """The calls that nobody has answered yet, in their order."""
        return [self._calls[i] for i in self._long if i in self._calls and i not in self._answered]

    async def read(self, event: Any) -> None:
        """Tell what an event of the run itself says."""
        await self._tell(event)
        if event.partial:
            return
        self._long += [i for i in sorted(event.long_running_tool_ids or ()) if i not in self._long]
        self._error = f"{event.error_code}: {event.error_message}" if event.error_code else ""
        for name, version in sorted(event.actions.artifact_delta.items()):
            part = await self._place.artifact(name, version)
            if part is not None:
                await self._made(part, name.removeprefix("user:"))
        await self._structured(event)

    async def overhear(self, event: Any) -> None:
        """Tell what an agent says that is a tool of another; its result is the tool's."""
        await self._tell(event)

    def check(self) -> None:
        """Raise when the run ended with an error that ADK did not raise itself."""
        if self._error:
            raise AgentError(f"the agent's model ended with {self._error}")

    async def _tell(self, event: Any) -> None:
        parts = (event.content.parts if event.content else None) or []
        if parts and event.author != "user":
            await self._speaks(event)
        if event.partial:
            await self._piece(event, parts)
            return
        await self._whole(event, parts)
        if used := event.usage_metadata:
            await self._run.usage(
                event.model_version or "", used.prompt_token_count, used.candidates_token_count
            )
        if target := event.actions.transfer_to_agent:
            await self._to(target)

    async def _speaks(self, event: Any) -> None:
        if event.id in self._begun:
            return
        self._begun.add(event.id)
        if any(part.function_response for part in event.content.parts):
            return  # A tool's, whoever's tool it is.
        if self._speaker:
            await self._to(event.author)
        self._speaker = event.author

    async def _to(self, target: str) -> None:
        if target != self._speaker:
            await self._run.hand_off(self._speaker, target)
            self._speaker = target

    async def _piece(self, event: Any, parts: Sequence[Any]) -> None:
        for part in parts:
            if part.text and part.thought:
                self._thought.add(event.id)
                await self._run.thought(part.text)
            elif part.text:
                await self._run.delta(event.id, part.text)

    async def _whole(self, event: Any, parts: Sequence[Any]) -> None:
        if event.id not in self._thought:
            await self._run.thought("".join(p.text for p in parts if p.text and p.thought))
        if event.author != "user":
            await self._run.final(event.id, _text(parts))
        for part in parts:
            if part.function_call:
                await self._called(part.function_call)
            if part.function_response:
                await self._returned(part.function_response, event.actions)
            if event.author != "user":
                await self._made(part, "")

    async def _called(self, call: Any) -> None:
        made = Call(call.id or uuid.uuid4().hex, call.name or "", dict(call.args or {}))
        self._calls[made.id] = made
        if made.name not in REQUESTS:
            await self._run.call(made.id, made.name, made.arguments)

    async def _returned(self, response: Any, actions: Any) -> None:
        content = response.response or {}
        if response.id in actions.requested_tool_confirmations or response.name in REQUESTS:
            return  # No result: that it needs approval.
        if content.get("status") != _PENDING:
            self._answered.add(response.id or "")
        wrong = set(content) == {"error"}
        value = next(iter(content.values())) if set(content) in ({"error"}, {"result"}) else content
        await self._run.result(response.id or "", response.name or "", value, is_error=wrong)

    async def _structured(self, event: Any) -> None:
        """What the whole run ends with as data: an output that has a schema, a workflow's."""
        parts = (event.content.parts if event.content else None) or []
        agent = self._schemas.get(event.author)
        if agent is not None and (text := _text(parts)):
            try:
                await self._data(_name(agent), json.loads(text))
            except ValueError:
                return
        elif event.output is not None and any(
            "/" not in p for p in event.node_info.output_for or ()
        ):
            if isinstance(event.output, str):
                await self._run.final(event.id, event.output)
            else:
                await self._data("output", event.output)

    async def _data(self, name: str, value: Any) -> None:
        await self._run.emit(
            ArtifactProduced(
                artifact_id=uuid.uuid4().hex,
                name=name,
                media_type="application/json",
                data=jsonable(value),
            )
        )

    async def _made(self, part: Any, name: str) -> None:
        """Tell of a file; of a text too, when it is an artifact (which has a name)."""
        made: dict[str, Any]
        if part.inline_data and part.inline_data.data is not None:
            file = part.inline_data
            made = {"raw": file.data, "media_type": file.mime_type, "name": file.display_name}
        elif part.file_data and part.file_data.file_uri:
            file = part.file_data
            made = {"url": file.file_uri, "media_type": file.mime_type, "name": file.display_name}
        elif name and part.text is not None:
            made = {"text": part.text, "media_type": "text/plain", "name": name}
        else:
            return
        made["name"] = name or made["name"] or ""
        made["media_type"] = made["media_type"] or "application/octet-stream"
        await self._run.emit(ArtifactProduced(artifact_id=uuid.uuid4().hex, **made))


def _text(parts: Sequence[Any]) -> str:
    return "".join(part.text for part in parts if part.text and not part.thought)


def _is_last(event: Any) -> bool:
    """Whether an output is also that of the outermost node, whose path has no other in it."""
    return any("/" not in path for path in event.node_info.output_for or ())


def _agents(node: Any) -> Iterator[Any]:
    yield node
    graph = getattr(node, "graph", None)
    for inner in [*getattr(node, "sub_agents", ()), *(graph.nodes if graph else ())]:
        yield from _agents(inner)


def _schema(agent: Any) -> Any:
    is_llm = "tools" in type(agent).model_fields
    return agent.output_schema if is_llm else None


def _name(agent: Any) -> str:
    schema = _schema(agent)
    named = schema.__name__ if isinstance(schema, type) else "output"
    return str(agent.output_key or named)
