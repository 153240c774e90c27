"""What agents of Microsoft Agent Framework stream, told to a run."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from codin.agent._parts import jsonable
from codin.agent.adapters._run import Run
from codin.agent.events import ArtifactProduced

_QUESTIONS = ("question", "prompt", "message")


class Reader:
    """Tells a run what an agent streams. Each speaker has a message of its own under way."""

    def __init__(self, run: Run, called: Mapping[str, Any]) -> None:
        self._run = run
        self._called = dict(called)
        self._messages: dict[str, tuple[str, str]] = {}
        self._calls: dict[str, list[Any]] = {}
        self._tokens: dict[str, tuple[int, int]] = {}

    def begins(self, who: str) -> None:
        """The speaker is asked once more."""
        self._tokens.pop(who, None)

    async def read(self, update: Any, speaker: str = "") -> None:
        who = speaker or update.author_name or ""
        if any(content.type == "function_call" for content in update.contents):
            await self._message_ends(who)
            self._calls.setdefault(who, []).append(update)
        await self._run.thought(_unread_thought(update))
        model = getattr(update.raw_representation, "model", None) or ""
        await self.contents(who, update.contents, model)
        if update.finish_reason:
            await self._message_ends(who)
            await self._tell_calls(who)

    async def contents(self, who: str, contents: Sequence[Any], model: str = "") -> None:
        for content in contents:
            await self._content(who, content, model)

    async def end(self) -> None:
        for who in list(self._messages):
            await self._message_ends(who)
        for who in list(self._calls):
            await self._tell_calls(who)

    async def _content(self, who: str, content: Any, model: str) -> None:
        match content.type:
            case "text":
                await self._text(who, content.text or "")
            case "text_reasoning":
                await self._run.thought(content.text or "")
            case "function_result":
                await self._message_ends(who)
                await self._tell_calls(who)
                await self._result(content)
            case "usage":
                await self._used(who, content.usage_details, model)
            case "data" | "uri":
                await self._run.emit(_artifact(content))

    async def _used(self, who: str, details: Mapping[str, Any], model: str) -> None:
        """What is streamed is what the speaker has used by now, since it was asked."""
        taken = details.get("input_token_count") or 0
        given = details.get("output_token_count") or 0
        before = self._tokens.get(who, (0, 0))
        self._tokens[who] = (taken, given)
        await self._run.usage(model, taken - before[0], given - before[1])

    async def _text(self, who: str, text: str) -> None:
        if text:
            message, said = self._messages.get(who) or (uuid.uuid4().hex, "")
            self._messages[who] = (message, said + text)
            await self._run.delta(message, text)

    async def _message_ends(self, who: str) -> None:
        if who in self._messages:
            await self._run.final(*self._messages.pop(who))

    async def _tell_calls(self, who: str) -> None:
        from agent_framework import AgentResponse

        if updates := self._calls.pop(who, []):
            for message in AgentResponse.from_updates(updates).messages:
                for content in message.contents:
                    if content.type == "function_call":
                        await self._call(content)

    async def _call(self, content: Any) -> None:
        self._called[content.call_id] = content
        await self._run.call(content.call_id, content.name, content.parse_arguments() or {})

    async def _result(self, content: Any) -> None:
        if content.call_id in self._called:
            await self._call(self._called[content.call_id])
        name = getattr(self._called.get(content.call_id), "name", None) or ""
        failed = content.exception is not None
        await self._run.result(content.call_id, name, _plain(content.result), is_error=failed)
        for item in content.items or ():
            if item.type in ("data", "uri"):
                await self._run.emit(_artifact(item))


async def tell_value(response: Any, run: Run) -> None:
    """The structured output, where the agent has a format for it."""
    if response.value is not None:
        data = jsonable(response.value)
        await run.emit(ArtifactProduced(artifact_id=uuid.uuid4().hex, name="output", data=data))


def called(content: Any) -> Any:
    """The call that a request or an answer is about."""
    return content if content.type == "function_call" else content.function_call


def question(asked: Any) -> str:
    call = called(asked)
    if call is None:
        return str(asked.consent_link or asked.text or asked.message or "The agent needs input")
    arguments = call.parse_arguments() or {}
    told = f"{call.name}({json.dumps(jsonable(arguments))})"
    if asked.type == "function_approval_request":
        return f"Approve {told}?"
    texts = [arguments[key] for key in _QUESTIONS if isinstance(arguments.get(key), str)]
    return texts[0] if texts else f"{told} waits for its result"


def _artifact(content: Any) -> ArtifactProduced:
    made = {
        "artifact_id": uuid.uuid4().hex,
        "name": content.name or (content.additional_properties or {}).get("name") or "",
        "media_type": content.media_type or "",
    }
    if content.type == "data":
        return ArtifactProduced(**made, raw=base64.b64decode(content.uri.partition(",")[2]))
    return ArtifactProduced(**made, url=content.uri)


def _plain(result: Any) -> Any:
    """A tool's result: its text as the JSON that it was, where it was."""
    if isinstance(result, str):
        try:
            return json.loads(result)
        except ValueError:
            return result
    return result


def _unread_thought(update: Any) -> str:
    """What the model's server streams as ``reasoning_content``, which the framework passes over."""
    chunk = getattr(update.raw_representation, "raw_representation", None)
    deltas = [getattr(choice, "delta", None) for choice in getattr(chunk, "choices", None) or ()]
    texts = [getattr(delta, "reasoning_content", None) for delta in deltas]
    return "".join(text for text in texts if isinstance(text, str))
