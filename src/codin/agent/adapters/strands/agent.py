"""Strands: its agents, swarms and graphs, and functions that build one of these."""

from __future__ import annotations

import json
import mimetypes
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from itertools import product
from typing import Any, ClassVar

from codin.agent._parts import jsonable
from codin.agent.adapters._failure import (
    TooManySteps,
    causes,
    explain_cause,
    too_many_steps,
)
from codin.agent.adapters._message import Attachment, attachments, past, prompt, result_text
from codin.agent.adapters._run import Run
from codin.agent.adapters.base import Adapter, Traits, beginning, build, is_factory, skill
from codin.agent.adapters.strands.copy import Equipment, equipped, inner_agents, twin
from codin.agent.answers import answer, approves
from codin.agent.base import INPUT_MODES, AgentError, Task
from codin.agent.events import ArtifactProduced, Failed, InputRequest
from codin.tool.base import Tool

_READS = ("image", "application/pdf")
_MADE = {"image", "document", "video"}
_BEFORE_A_TOOL = "v1:before_tool_call:"
_SPENT = "insufficient_quota"
_HUMAN_IN_THE_LOOP = "strands:human-in-the-loop"
_QUESTIONS = ("question", "prompt", "message", "reason")


class StrandsAgent(Adapter):
    """An ``Agent``, ``Swarm`` or ``Graph``, or a function ``([tools[, model]])`` that builds one.

    For each run it is copied, and every agent in it is given the run's tools besides its own and
    told the conversation. Interrupts become input requests; those before a tool call ask for
    approval.
    """

    framework: ClassVar[str] = "strands"
    input_modes = (*INPUT_MODES, "image/*", "application/pdf")

    @classmethod
    def traits(cls, subject: Any) -> Traits:
        """How its instructions begin, and its tools; or the agents that it is made of."""
        if hasattr(subject, "nodes"):
            members = {name: node.executor for name, node in subject.nodes.items()}
            told = [skill(n, getattr(m, "description", "")) for n, m in members.items()]
            inner = [part for m in members.values() for part in (m, *cls.traits(m).parts)]
            return Traits("", tuple(told), tuple(inner))
        if not hasattr(subject, "tool_registry"):
            return Traits()
        tools = subject.tool_registry.registry.values()
        return Traits(
            beginning(subject.system_prompt),
            tuple(skill(tool.tool_name, tool.tool_spec["description"]) for tool in tools),
            tuple(inner_agents(subject)),
        )

    async def _run(self, task: Task, run: Run) -> None:
        paused = _Paused.of(task)
        if paused.asked:
            paused.take(answer(task.message))
            if paused.asked:
                await run.emit(paused.request())
                return
        bound = _Bound(self.max_model_calls)
        agent = await self._agent(task, run, bound)
        reader = _Reader(run, agent, paused.calls)
        async with aclosing(agent.stream_async(_said(agent, task, paused))) as stream:
            async for event in stream:
                await reader.read(event)
        if bound.broken:
            raise TooManySteps
        _raise_failures(reader.result)
        if reader.result.interrupts:
            await run.emit(_Paused.at(agent, reader).request())
        else:
            await _structured(reader.result, run)

    async def _agent(self, task: Task, run: Run, bound: _Bound) -> Any:
        tools = [bridge(tool, run) for tool in task.tools]
        said = [{"role": role, "content": [{"text": text}]} for role, text in past(task)]
        if not is_factory(self.subject):
            return twin(self.subject, Equipment(tools, said, bound.count, _spent))
        agent = await build(self.subject, task, tools)
        if not hasattr(agent, "stream_async"):
            raise AgentError(
                f"agent {self.id!r} built a {type(agent).__name__}, which is no agent of Strands"
            )
        return equipped(agent, Equipment((), said, bound.count, _spent))

    def _explain(self, error: Exception) -> Failed:
        if any(isinstance(cause, TooManySteps) for cause in causes(error)):
            return too_many_steps(self.id, self.max_model_calls)
        return explain_cause(error)


class _Bound:
    """Ends a run that asks its models too often. Teams go on without the agent that broke it, and
    say at their end that it failed."""

    def __init__(self, limit: int) -> None:
        self.broken = False
        self._left = limit

    def count(self, _: Any) -> None:
        if self._left <= 0:
            self.broken = True
            raise TooManySteps
        self._left -= 1


def _spent(event: Any) -> None:
    """Ends a run that may use no more: Strands would wait and ask again, for two minutes."""
    if any(getattr(cause, "code", None) == _SPENT for cause in causes(event.exception)):
        raise event.exception


class _Paused:
    """What a run knows when it stops to ask: its agents' state, the calls that are open, what it
    asks, and the answers so far."""

    def __init__(
        self,
        state: Any = None,
        calls: Mapping[str, Any] | None = None,
        asked: Sequence[Any] = (),
        answers: Sequence[Any] = (),
    ) -> None:
        self.state = state
        self.calls = dict(calls or {})
        self.asked = list(asked)
        self.answers = list(answers)

    @classmethod
    def of(cls, task: Task) -> _Paused:
        return cls() if task.state is None else cls(**json.loads(task.state))

    @classmethod
    def at(cls, agent: Any, reader: _Reader) -> _Paused:
        from strands.types.session import encode_bytes_values

        alone = hasattr(agent, "take_snapshot")
        kept = agent.take_snapshot(preset="session").to_dict() if alone else agent.serialize_state()
        asked = [jsonable(interrupt.to_dict()) for interrupt in reader.result.interrupts]
        return cls(jsonable(encode_bytes_values(kept)), reader.still_open(), asked)

    def restore(self, agent: Any) -> None:
        """Have ``agent``, which is new, know what the one that asked knew."""
        from strands.types._snapshot import Snapshot
        from strands.types.session import decode_bytes_values

        kept = decode_bytes_values(self.state)
        if hasattr(agent, "load_snapshot"):
            agent.load_snapshot(Snapshot.from_dict(kept))
        else:
            agent.deserialize_state(kept)

    def take(self, given: Any) -> None:
        """``given`` answers the first interrupt."""
        asked = self.asked.pop(0)
        if asked["name"] == _HUMAN_IN_THE_LOOP:
            given = "yes" if approves(given) else "no"
        response = {"interruptId": asked["id"], "response": given}
        self.answers.append({"interruptResponse": response})

    def request(self) -> InputRequest:
        asked = self.asked[0]
        approval = _BEFORE_A_TOOL in asked["id"] or asked["name"] == _HUMAN_IN_THE_LOOP
        return InputRequest(
            request_id=asked["id"],
            prompt=_question(asked),
            request_kind="approval" if approval else "input",
            state=json.dumps(vars(self)),
        )


class _Reader:
    """Tells a run what an agent streams, or what all agents of a team do. Of an agent that is
    ``aside``, a tool of another, it tells what it does and not what it says."""

    def __init__(self, run: Run, agent: Any, calls: dict[str, Any], *, aside: bool = False) -> None:
        self.result: Any = None
        self._aside = aside
        self._calls = calls
        self._run = run
        self._agent = agent
        self._members: dict[str, _Reader] = {}
        self._message = uuid.uuid4().hex

    async def read(self, event: Any) -> None:
        match event:
            case {"type": "multiagent_node_stream", "node_id": name, "event": told} | {
                "tool_stream_event": {"tool_use": {"name": name}, "data": dict() as told}
            }:
                if member := self._member(name):
                    await member.read(told)
            case {"type": "multiagent_handoff", "from_node_ids": left, "to_node_ids": entered}:
                for one, other in product(left, entered):
                    await self._run.hand_off(one, other)
            case {"data": text} if not self._aside:
                await self._run.delta(self._message, text)
            case {"reasoningText": str(text)} if not self._aside:
                await self._run.thought(text)
            case {"message": message}:
                await self._said(message)
            case {"event": {"metadata": {"usage": used}}}:
                model = (getattr(self._agent.model, "config", None) or {}).get("model_id") or ""
                await self._run.usage(str(model), used["inputTokens"], used["outputTokens"])
            case {"result": result}:
                self.result = result

    def still_open(self) -> dict[str, Any]:
        """The calls whose result was not said yet."""
        return {k: call for k, call in self._calls.items() if not self._run.has_result(k)}

    def _member(self, name: str) -> _Reader | None:
        """Who reads what an agent of the team does, or one that is a tool of this one."""
        team = hasattr(self._agent, "nodes")
        agent = (
            self._agent.nodes[name].executor if team else getattr(self._tool(name), "agent", None)
        )
        if name not in self._members and agent is not None:
            aside = self._aside or not team
            self._members[name] = _Reader(self._run, agent, self._calls, aside=aside)
        return self._members.get(name)

    def _tool(self, name: str) -> Any:
        registry = self._agent.tool_registry
        return registry.registry.get(name) or registry.dynamic_tools.get(name)

    async def _said(self, message: Any) -> None:
        if message["role"] == "assistant":
            text = "".join(block.get("text", "") for block in message["content"])
            if not self._aside:
                await self._run.final(self._message, text)
            self._message = uuid.uuid4().hex
        for block in message["content"]:
            if (call := block.get("toolUse")) and not self._shapes_output(call["name"]):
                self._calls[call["toolUseId"]] = call
                await self._run.call(call["toolUseId"], call["name"], _arguments(call))
            if (result := block.get("toolResult")) and result["toolUseId"] in self._calls:
                await self._returned(result, self._calls.pop(result["toolUseId"]))

    def _shapes_output(self, name: str) -> bool:
        """Whether the tool is the framework's own, by which a model gives structured output."""
        return getattr(self._tool(name), "tool_type", "") == "structured_output"

    async def _returned(self, result: Any, call: Any) -> None:
        values = [_value(block) for block in result["content"] if {"json", "text"} & set(block)]
        content = values[0] if len(values) == 1 else "\n".join(map(result_text, values))
        failed = result["status"] == "error"
        await self._run.call(call["toolUseId"], call["name"], _arguments(call))
        await self._run.result(call["toolUseId"], call["name"], content, is_error=failed)
        for block in result["content"]:
            for kind in set(block) & _MADE:
                await self._run.emit(_artifact(kind, block[kind]))


def bridge(tool: Tool, run: Run) -> Any:
    """``tool`` as a tool of this run."""
    from strands.types.tools import AgentTool

    class BridgedTool(AgentTool):  # type: ignore[misc]
        tool_name = tool.name
        tool_type = "codin"
        tool_spec = {  # noqa: RUF012 - a property of the class above
            "name": tool.name,
            "description": tool.spec.description or tool.name,
            "inputSchema": {"json": tool.spec.input_schema},
        }

        async def stream(self, tool_use: Any, _: Any, **__: Any) -> AsyncIterator[Any]:
            given = await run.use(tool, tool_use["toolUseId"], _arguments(tool_use))
            yield {
                "toolUseId": tool_use["toolUseId"],
                "status": "error" if given.is_error else "success",
                "content": [{"text": given.text}],
            }

    return BridgedTool()


def _said(agent: Any, task: Task, paused: _Paused) -> Any:
    """What the agent is told now."""
    if paused.answers:
        paused.restore(agent)
        return paused.answers
    text = prompt(task.message)
    files = [_block(file) for file in attachments(task.message, reads=_READS)]
    return [{"text": text}, *files] if files else text


def _raise_failures(result: Any) -> None:
    """Raise what an agent of a team failed with: the team itself only notes it."""
    for node in getattr(result, "results", {}).values():
        if isinstance(node.result, Exception):
            raise node.result
        _raise_failures(node.result)
    status = getattr(getattr(result, "status", None), "value", "")
    if status == "failed":
        raise AgentError("the team of agents came to no end within its own limits")


async def _structured(result: Any, run: Run) -> None:
    """The structured output, where there is one: the agent's, or that of a team's last."""
    members = [node.result for node in getattr(result, "results", {}).values()]
    output = getattr(members[-1] if members else result, "structured_output", None)
    if output is not None:
        data = output.model_dump(mode="json")
        await run.emit(ArtifactProduced(artifact_id=uuid.uuid4().hex, name="output", data=data))


def _value(block: Any) -> Any:
    return block["json"] if "json" in block else block["text"]


def _block(file: Attachment) -> dict[str, Any]:
    if file.raw is None:
        raise AgentError(
            f"the agent cannot read the file at {file.url!r}: Strands takes the bytes of a file, "
            "and no URL; send the file itself"
        )
    name, _, ending = (file.name or "file").rpartition(".")
    kind = "image" if file.kind == "image" else "document"
    form = file.media_type.partition("/")[2]
    source = {"format": form, "source": {"bytes": file.raw}}
    return {kind: source if kind == "image" else {**source, "name": name or ending}}


def _artifact(kind: str, block: Any) -> ArtifactProduced:
    name = block.get("name") or kind
    form = block["format"]
    return ArtifactProduced(
        artifact_id=uuid.uuid4().hex,
        name=name if name.endswith(f".{form}") else f"{name}.{form}",
        media_type=mimetypes.types_map.get(f".{form}", "application/octet-stream"),
        raw=block["source"]["bytes"],
    )


def _arguments(call: Any) -> dict[str, Any]:
    given = call["input"]
    return dict(given) if isinstance(given, dict) else {}


def _question(asked: Any) -> str:
    reason = asked.get("reason")
    if isinstance(reason, dict):
        texts = [reason[key] for key in _QUESTIONS if isinstance(reason.get(key), str)]
        reason = texts[0] if texts else reason
    return result_text(reason) if reason else str(asked["name"])
