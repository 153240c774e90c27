"""One run of a workflow of Microsoft Agent Framework.

A workflow keeps what its executors know, and takes one run at a time: each run has a copy. What it
needs to go on after a question is the checkpoint that the framework makes itself.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from codin.agent._parts import jsonable
from codin.agent.adapters._message import data_of, prompt, result_text
from codin.agent.adapters._run import Run
from codin.agent.adapters.agent_framework.reader import Reader, called, question
from codin.agent.answers import answer, approves
from codin.agent.base import AgentError, Task
from codin.agent.events import ArtifactProduced, InputRequest

_NEXT_TURN = "HandoffAgentUserRequest"
"""What a hand-off workflow asks when it has answered: whatever is said next."""


async def run_flow(
    flow: Any, task: Task, run: Run, messages: Callable[[], Sequence[Any]], tools: Sequence[Any]
) -> None:
    """Run the workflow, which is new, or have it go on where it stopped to ask. ``messages`` gives
    the conversation.

    Raises:
        AgentError: it takes no messages, or cannot be given this answer.
    """
    kept, paused = _Kept(flow), _Paused.of(task)
    asked: list[Any] = []
    if paused.asked:
        paused.take(answer(task.message))
        if paused.asked:
            await run.emit(paused.request())
            return
        given, asked = _answers(paused, kept)
    else:
        given = {"message": _input(flow, task, messages)}
    reader = _FlowReader(run, flow, asked)
    stream = flow.run(stream=True, checkpoint_storage=kept, tools=tools or None, **given)
    try:
        async for event in stream:
            await reader.read(event)
    finally:
        await stream.close()
    await reader.end()
    if reader.requests:
        await run.emit(_Paused.at(kept, reader.requests).request())


def _answers(paused: _Paused, kept: _Kept) -> tuple[dict[str, Any], list[Any]]:
    """What a workflow that asked goes on with, and what it had asked."""
    asked = kept.restore(paused.checkpoint).pending_request_info_events
    responses = {key: _response(asked[key], given) for key, given in paused.answers.items()}
    given = {"responses": responses, "checkpoint_id": kept.last}
    return given, [event.data for event in asked.values()]


class _FlowReader:
    """Tells a run what a workflow streams. What an agent says that is no output of the workflow is
    told when it has said it."""

    def __init__(self, run: Run, flow: Any, asked: Sequence[Any]) -> None:
        contents = [data for data in asked if type(data).__name__ == "Content"]
        calls = [call for call in map(called, contents) if call is not None]
        self.requests: list[Any] = []
        self._run = run
        self._reader = Reader(run, {call.call_id: call for call in calls})
        self._speakers = {each.id for each in flow.get_executors_list() if _speaks(each)}
        self._speaker = ""
        self._busy: set[str] = set()
        self._heard: set[str] = set()
        self._beside: set[str] = set()
        self._texts: set[str] = set()

    async def read(self, event: Any) -> None:
        match event.type:
            case "executor_invoked":
                self._begins(event.executor_id)
            case "handoff_sent":
                await self._passes(event.data.source, event.data.target)
            case "output" | "intermediate" | "data":
                self._heard.add(event.executor_id)
                await self._said(event.executor_id, event.data)
            case "executor_completed":
                await self._completed(event.executor_id, event.data)
            case "request_info" if type(event.data).__name__ != _NEXT_TURN:
                self.requests.append(event)

    async def end(self) -> None:
        await self._reader.end()

    def _begins(self, who: str) -> None:
        self._beside.discard(who)
        if self._busy:
            self._beside.add(who)
        self._busy.add(who)
        self._reader.begins(who)

    async def _passes(self, one: str, other: str) -> None:
        self._speaker = other
        await self._reader.end()
        await self._run.hand_off(one, other)

    async def _speaks(self, who: str) -> None:
        """Those that work side by side pass nothing on to each other."""
        if who not in self._speakers:
            return
        if self._speaker and who != self._speaker and who not in self._beside:
            await self._passes(self._speaker, who)
        self._speaker = who

    async def _completed(self, who: str, sent: Any) -> None:
        self._busy.discard(who)
        if who not in self._heard:
            for one in sent if isinstance(sent, list) else []:
                if (response := getattr(one, "agent_response", None)) is not None:
                    await self._speaks(who)
                    await self._whole(who, response.messages)
                    self._texts.update(message.text for message in response.messages)
                    await self._used(response)
        self._heard.discard(who)

    async def _said(self, who: str, data: Any) -> None:
        messages = getattr(data, "messages", data if isinstance(data, list) else [data])
        if type(data).__name__ == "AgentResponseUpdate":
            await self._speaks(who)
            await self._reader.read(data, who)
        elif all(type(message).__name__ == "Message" for message in messages):
            new = [m for m in messages if m.role == "assistant" and m.text not in self._texts]
            await self._whole(who, new)
        elif isinstance(data, str):
            await self._text(data)
        elif data is not None:
            made = ArtifactProduced(
                artifact_id=uuid.uuid4().hex, name=who, data=jsonable(_plain(data))
            )
            await self._run.emit(made)

    async def _whole(self, who: str, messages: Sequence[Any]) -> None:
        for message in messages:
            await self._reader.contents(who, [c for c in message.contents if c.type != "text"])
            await self._text(message.text)

    async def _text(self, text: str) -> None:
        await self._reader.end()
        if text != self._run.last_text:
            await self._run.final(uuid.uuid4().hex, text)

    async def _used(self, response: Any) -> None:
        used = response.usage_details or {}
        await self._run.usage("", used.get("input_token_count"), used.get("output_token_count"))


class _Kept:
    """Where a workflow leaves its checkpoints: the last one is kept."""

    def __init__(self, workflow: Any) -> None:
        self.last: str | None = None
        self._checkpoint: Any = None
        self._types = frozenset(map(_key, _types_of(workflow)))

    async def save(self, checkpoint: Any) -> str:
        self._checkpoint, self.last = copy.copy(checkpoint), checkpoint.checkpoint_id
        return str(self.last)

    async def load(self, checkpoint_id: str) -> Any:
        assert checkpoint_id == self.last
        return self._checkpoint

    async def list_checkpoints(self, *, workflow_name: str) -> list[Any]:
        return [] if self._checkpoint is None else [self._checkpoint]

    async def list_checkpoint_ids(self, *, workflow_name: str) -> list[str]:
        return [] if self.last is None else [self.last]

    async def get_latest(self, *, workflow_name: str) -> Any:
        return self._checkpoint

    async def delete(self, checkpoint_id: str) -> bool:
        return False

    def encoded(self) -> Any:
        from agent_framework._workflows._checkpoint_encoding import encode_checkpoint_value

        try:
            return encode_checkpoint_value(self._checkpoint.to_dict())
        except Exception as error:
            raise AgentError(
                f"the workflow asks, and cannot wait for the answer: its state cannot be kept "
                f"({error})"
            ) from error

    def restore(self, encoded: Any) -> Any:
        from agent_framework import WorkflowCheckpoint
        from agent_framework._workflows._checkpoint_encoding import decode_checkpoint_value

        decoded = decode_checkpoint_value(encoded, allowed_types=self._types)
        self._checkpoint = WorkflowCheckpoint.from_dict(decoded)
        self.last = self._checkpoint.checkpoint_id
        return self._checkpoint


class _Paused:
    """What a run knows when it stops to ask: the checkpoint, what is asked, the answers so far."""

    def __init__(
        self,
        checkpoint: Any = None,
        asked: Sequence[Mapping[str, Any]] = (),
        answers: Mapping[str, Any] | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.asked = list(asked)
        self.answers = dict(answers or {})

    @classmethod
    def of(cls, task: Task) -> _Paused:
        return cls() if task.state is None else cls(**json.loads(task.state))

    @classmethod
    def at(cls, kept: _Kept, requests: Sequence[Any]) -> _Paused:
        return cls(kept.encoded(), [_described(event) for event in requests])

    def take(self, given: Any) -> None:
        """``given`` answers the first request."""
        self.answers[self.asked.pop(0)["request_id"]] = jsonable(given)

    def request(self) -> InputRequest:
        return InputRequest(**self.asked[0], state=json.dumps(vars(self)))


def _described(event: Any) -> dict[str, Any]:
    """A request as an ``InputRequest`` has it."""
    asked, wanted = event.data, event.response_type
    schema = wanted.model_json_schema() if _is_model(wanted) else None
    approval = hasattr(wanted, "approve") or wanted is bool
    approval = approval or getattr(asked, "type", "") == "function_approval_request"
    return {
        "request_id": event.request_id,
        "prompt": _prompt(asked),
        "answer_schema": schema,
        "request_kind": "approval" if approval else "input",
    }


def _prompt(asked: Any) -> str:
    if type(asked).__name__ == "Content":
        return question(asked)
    for name in ("question", "prompt", "message", "plan", "agent_response"):
        said = asked.get(name) if isinstance(asked, Mapping) else getattr(asked, name, None)
        said = getattr(said, "text", said)
        if isinstance(said, str) and said:
            return said
    return result_text(_plain(asked))


def _response(event: Any, given: Any) -> Any:
    """What was answered to a request, as the type that the workflow waits for."""
    from agent_framework import Content, Message

    wanted = event.response_type
    if wanted is Content and event.data.type == "function_approval_request":
        return event.data.to_function_approval_response(approves(given))
    if wanted is Content and event.data.type == "function_call":
        return Content.from_function_result(event.data.call_id, result=result_text(given))
    if hasattr(wanted, "approve"):
        said = result_text(given)
        other = wanted.revise if hasattr(wanted, "revise") else wanted.from_strings
        return wanted.approve() if approves(given) else other([said])
    if get_origin(wanted) is list and Message in get_args(wanted):
        return [Message("user", [result_text(given)])]
    if wanted is bool:
        return approves(given)
    return _fitting(wanted, given)


def _fitting(wanted: Any, given: Any) -> Any:
    if wanted in (str, Any):
        return result_text(given)
    try:
        kind: TypeAdapter[Any] = TypeAdapter(wanted)
        as_text = isinstance(given, str) and (_is_model(wanted) or dataclasses.is_dataclass(wanted))
        return kind.validate_json(given) if as_text else kind.validate_python(given)
    except ValidationError as error:
        raise AgentError(f"the answer does not fit what the workflow asked for: {error}") from error


def _speaks(executor: Any) -> bool:
    """Whether an agent is behind it, or agents are."""
    return hasattr(executor, "agent") or hasattr(executor, "workflow")


def _input(flow: Any, task: Task, messages: Callable[[], Sequence[Any]]) -> Any:
    """What the workflow begins with: the conversation, or where it takes none the text or data."""
    from agent_framework import Message

    taken = flow.get_start_executor().input_types
    if any(get_origin(kind) is list and "Message" in str(kind) for kind in taken):
        return messages()
    if Message in taken:
        return messages()[-1]
    if str in taken:
        return prompt(task.message)
    if any(dict in (kind, get_origin(kind)) for kind in taken):
        return data_of(task.message) or {"message": prompt(task.message)}
    names = ", ".join(str(kind) for kind in taken)
    raise AgentError(f"the workflow begins with {names}: have it begin with messages or a text")


def _types_of(workflow: Any) -> set[type]:
    """The types that a workflow's own state and messages may have."""
    kinds = [
        kind
        for executor in workflow.get_executors_list()
        for kind in (
            *executor.input_types,
            *executor.output_types,
            *executor.workflow_output_types,
        )
    ]
    return {one for kind in kinds for one in (kind, *get_args(kind)) if isinstance(one, type)}


def _key(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value
