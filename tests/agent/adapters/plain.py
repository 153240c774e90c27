"""Agents that are plain functions: one over the OpenAI client, and one for each scene."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from codin.agent import Agent, Task, wrap
from codin.agent.adapters._message import attachments, past, prompt
from codin.agent.answers import approves
from codin.agent.events import (
    ArtifactProduced,
    HandOff,
    InputRequest,
    Thought,
    ToolResult,
    Usage,
)
from codin.agent.events import ToolCall as Called
from codin.testing.agent_conformance import Scene
from codin.tool.base import ToolError


def chatting(base_url: str) -> Agent:
    async def chat(task: Task) -> AsyncIterator[Any]:
        """A small loop of its own over the OpenAI client."""
        async for piece in _chat(base_url, task):
            yield piece

    return wrap(chat)


class PlainScenes:
    """The suite's scenes, by functions that ask no model."""

    def asking(self) -> Scene:
        async def ask(task: Task) -> AsyncIterator[Any]:
            if task.state is None:
                yield InputRequest(request_id="1", prompt="Which city?", state="asked")
            else:
                yield f"Off to {task.text}."

        return Scene([], lambda _: wrap(ask))

    def approving(self) -> Scene:
        wiped: list[str] = []

        async def wipe(task: Task) -> AsyncIterator[Any]:
            left = json.loads(task.state) if task.state else ["a", "b"]
            if task.state:
                disk = left.pop(0)
                yield Called(call_id=disk, name="wipe", arguments={"disk": disk})
                yes = approves(task.text)
                wiped.extend([disk] if yes else [])
                yield ToolResult(call_id=disk, name="wipe", content=yes, is_error=not yes)
            if left:
                yield InputRequest(
                    request_id=left[0],
                    prompt=f"Approve wipe({left[0]})?",
                    request_kind="approval",
                    state=json.dumps(left),
                )
            else:
                yield "Done."

        return Scene([], lambda _: wrap(wipe), wiped)

    def handing_off(self) -> Scene:
        async def front(task: Task) -> AsyncIterator[Any]:
            yield HandOff(from_agent="front", to_agent="back")
            yield "It is 3."

        return Scene([], lambda _: wrap(front))

    def structuring(self) -> Scene:
        async def place(task: Task) -> ArtifactProduced:
            return ArtifactProduced(artifact_id="place", data={"city": "Paris", "people": 2})

        return Scene([], lambda _: wrap(place))

    def making_files(self) -> Scene:
        async def write(task: Task) -> ArtifactProduced:
            return ArtifactProduced(
                artifact_id="note", name="note.txt", media_type="text/plain", raw=b"hello"
            )

        return Scene([], lambda _: wrap(write))


async def _chat(base_url: str, task: Task) -> AsyncIterator[Any]:
    from openai import AsyncOpenAI

    messages: list[Any] = [{"role": role, "content": text} for role, text in past(task)]
    messages.append({"role": "user", "content": _content(task)})
    tools: list[Any] = [
        {"type": "function", "function": {"name": t.name, "parameters": t.spec.input_schema}}
        for t in task.tools
    ]
    async with AsyncOpenAI(api_key="k", base_url=base_url, max_retries=0) as client:
        while True:
            calls: dict[int, Any] = {}
            options: dict[str, Any] = {"tools": tools} if tools else {}
            stream = await client.chat.completions.create(
                model="x",
                messages=messages,
                stream=True,
                stream_options={"include_usage": True},
                **options,
            )
            async with stream:
                async for chunk in stream:
                    for said in _said(chunk, calls):
                        yield said
            if not calls:
                return
            wire = [
                {
                    "id": c["id"],
                    "type": "function",
                    "function": {"name": c["name"], "arguments": c["text"]},
                }
                for c in calls.values()
            ]
            messages.append({"role": "assistant", "content": None, "tool_calls": wire})
            for call in calls.values():
                content = await _call(task, call)
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})


def _content(task: Task) -> Any:
    files = attachments(task.message, reads=["image"])
    if not files:
        return prompt(task.message)
    pictures = [{"type": "image_url", "image_url": {"url": file.data_url}} for file in files]
    return [{"type": "text", "text": prompt(task.message)}, *pictures]


def _said(chunk: Any, calls: dict[int, Any]) -> list[Any]:
    """What a chunk says; ``calls`` takes in the tools that it calls."""
    said: list[Any] = []
    if used := chunk.usage:
        said.append(Usage(input_tokens=used.prompt_tokens, output_tokens=used.completion_tokens))
    for choice in chunk.choices:
        if thought := getattr(choice.delta, "reasoning_content", None):
            said.append(Thought(text=thought))
        if choice.delta.content:
            said.append(choice.delta.content)
        for part in choice.delta.tool_calls or []:
            call = calls.setdefault(part.index, {"id": "", "name": "", "text": ""})
            call["id"] = part.id or call["id"]
            call["name"] = part.function.name or call["name"]
            call["text"] += part.function.arguments or ""
    return said


async def _call(task: Task, call: dict[str, Any]) -> str:
    named = {tool.name: tool for tool in task.tools}
    if call["name"] not in named:
        return f"there is no tool {call['name']}"
    try:
        arguments = json.loads(call["text"])
    except ValueError:
        return "the arguments are no JSON"
    try:
        return json.dumps(await named[call["name"]].invoke(**arguments))
    except (ToolError, ArithmeticError) as error:
        return str(error)
