"""LangGraph graphs as agents: compiled graphs, ``create_agent``, and factories of them."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, ClassVar

from codin.agent._parts import jsonable
from codin.agent.adapters._failure import explain, too_many_steps
from codin.agent.adapters._run import Run, answer, past, prompt, result_text
from codin.agent.adapters.base import Adapter, Waiting, build, is_factory
from codin.agent.base import AgentError, AgentInfo, Task
from codin.agent.events import END_EVENTS, Failed, InputRequest
from codin.tool.base import Tool


@dataclass(frozen=True, slots=True)
class _Paused:
    saver: Any
    thread_id: str
    interrupt_id: str
    value: Any


class LangGraphAgent(Adapter):
    """A graph whose state has ``messages``, or a function ``(tools[, model]) -> graph``.

    A compiled graph cannot be given tools any more: an agent that asks for tools is a factory,
    called for each run with LangChain tools. The graph's own checkpointer is replaced by one that
    lives as long as the run, or as long as the run waits on ``interrupt``.
    """

    framework: ClassVar[str] = "langgraph"

    def __init__(self, subject: Any, info: AgentInfo, **options: Any) -> None:
        super().__init__(subject, info, **options)
        if info.tools and not is_factory(subject):
            raise AgentError(
                f"agent {info.id!r} asks for tools, and a compiled graph cannot be given any: "
                "wrap a function that takes the tools and returns the graph"
            )
        self._waiting: Waiting[_Paused] = Waiting()

    async def _run(self, task: Task, run: Run) -> None:
        from langgraph.checkpoint.memory import InMemorySaver

        paused = self._waiting.take(task) or _Paused(InMemorySaver(), uuid.uuid4().hex, "", None)
        graph = (await self._graph(task, run)).copy(update={"checkpointer": paused.saver})
        config = {
            "configurable": {"thread_id": paused.thread_id},
            "recursion_limit": self._limit(graph),
            "callbacks": [_stopper(run)],
        }
        given = _resume(task, paused) if paused.interrupt_id else _input(graph, task)
        reader = _Reader(run)
        stream = graph.astream(
            given, config, stream_mode=["messages", "updates", "custom"], subgraphs=True
        )
        async with aclosing(stream):
            async for _, mode, data in stream:
                await reader.read(mode, data)
        state = await graph.aget_state(config)
        if state.interrupts:
            await self._ask(task, run, paused, state.interrupts[0])
        else:
            await reader.last(state.values)

    async def _graph(self, task: Task, run: Run) -> Any:
        graph = self.subject
        if is_factory(graph):
            graph = await build(graph, task, [bridge(tool, run) for tool in task.tools])
        if hasattr(graph, "compile"):
            graph = graph.compile()
        if not hasattr(graph, "astream") or not hasattr(graph, "aget_state"):
            raise AgentError(
                f"agent {self.id!r} built a {type(graph).__name__}, which is no LangGraph graph"
            )
        return graph

    def _limit(self, graph: Any) -> int:
        own = (graph.config or {}).get("recursion_limit")
        # A turn with tools takes two supersteps, one for the model and one for its tools.
        ours = 2 * self.max_model_calls
        return min(own, ours) if isinstance(own, int) else ours

    async def _ask(self, task: Task, run: Run, paused: _Paused, interrupt: Any) -> None:
        self._waiting.keep(
            task, _Paused(paused.saver, paused.thread_id, interrupt.id, interrupt.value)
        )
        approval = _actions(interrupt.value) > 0
        await run.emit(
            InputRequest(
                request_id=interrupt.id,
                prompt=_question(interrupt.value),
                request_kind="approval" if approval else "input",
            )
        )

    def _explain(self, error: Exception) -> Failed:
        if type(error).__name__ == "GraphRecursionError":
            return too_many_steps(self.id, self.max_model_calls)
        return explain(error)


class _Reader:
    """Tells a run what a graph streams."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._seen: set[str] = set()
        self._speaker = ""

    async def read(self, mode: str, data: Any) -> None:
        if mode == "messages":
            await self._chunk(data[0])
        elif mode == "updates":
            for update in data.values():
                for message in _messages(update):
                    await self._message(message)
        elif hasattr(data, "kind") and not isinstance(data, END_EVENTS):
            await self._run.emit(data)

    async def _chunk(self, chunk: Any) -> None:
        if chunk.type == "AIMessageChunk" and chunk.id not in self._seen:
            await self._run.thought(_reasoning(chunk))
            await self._run.delta(chunk.id or "answer", _text(chunk))

    async def _message(self, message: Any) -> None:
        if message.type == "tool":
            value = message.content if message.artifact is None else message.artifact
            await self._run.result(
                message.tool_call_id, message.name or "", value, is_error=message.status == "error"
            )
        elif message.type == "ai" and message.id not in self._seen:
            self._seen.add(message.id)
            await self._spoke(message)

    async def _spoke(self, message: Any) -> None:
        if message.name and self._speaker and message.name != self._speaker:
            await self._run.hand_off(self._speaker, message.name)
        self._speaker = message.name or self._speaker
        await self._run.final(message.id or "answer", _text(message))
        for call in message.tool_calls:
            await self._run.call(call["id"] or uuid.uuid4().hex, call["name"], call["args"])
        if used := message.usage_metadata:
            model = message.response_metadata.get("model_name", "")
            await self._run.usage(model, used.get("input_tokens"), used.get("output_tokens"))

    async def last(self, values: Any) -> None:
        """Make the state's last message the last that is said, and refuse an unusable end."""
        messages = list(_messages(values))
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


def bridge(tool: Tool, run: Run) -> Any:
    """``tool`` as a LangChain tool of this run."""
    from langchain_core.messages import ToolMessage
    from langchain_core.tools import BaseTool

    class BridgedTool(BaseTool):  # type: ignore[misc]
        async def ainvoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002
            called = isinstance(input, Mapping) and input.get("type") == "tool_call"
            arguments = input["args"] if called else input
            call_id = (input.get("id") if called else None) or uuid.uuid4().hex
            given = await run.use(tool, call_id, arguments)
            if not called:
                return given.text
            return ToolMessage(
                given.text,
                name=tool.name,
                tool_call_id=call_id,
                artifact=given.value,
                status="error" if given.is_error else "success",
            )

        def _run(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError(f"{tool.name} is called with ainvoke: run the graph async")

    return BridgedTool(
        name=tool.name, description=tool.spec.description, args_schema=tool.spec.input_schema
    )


def _stopper(run: Run) -> Any:
    """Ends a model's stream that has missed its cancellation.

    langchain-openai waits for each chunk with ``asyncio.wait_for``, which before Python 3.12 loses
    a cancellation that comes together with the chunk (python/cpython#86296); LangGraph then waits
    for the whole answer.
    """
    from langchain_core.callbacks import AsyncCallbackHandler

    class Stopper(AsyncCallbackHandler):  # type: ignore[misc]
        run_inline = True  # In the model's own task, which is the one that has to end.

        async def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
            if run.stopped:
                raise asyncio.CancelledError

    return Stopper()


def _input(graph: Any, task: Task) -> dict[str, Any]:
    if "messages" not in graph.channels:
        raise AgentError(
            f"the graph's state has no 'messages' (it has {', '.join(_fields(graph)) or 'nothing'})"
            ": add them (MessagesState), for that is where the task goes and the answer comes from"
        )
    said = [*past(task), ("user", prompt(task.message))]
    return {"messages": [{"role": role, "content": text} for role, text in said]}


def _fields(graph: Any) -> Sequence[str]:
    return sorted(n for n in graph.channels if not n.startswith("_") and ":" not in n)


def _resume(task: Task, paused: _Paused) -> Any:
    from langgraph.types import Command

    given = answer(task.message)
    if count := _actions(paused.value):
        given = _decisions(given, count)
    return Command(resume={paused.interrupt_id: given})


def _actions(value: Any) -> int:
    """How many actions LangChain's human-in-the-loop middleware asks about."""
    requests = value.get("action_requests") if isinstance(value, Mapping) else None
    return len(requests) if isinstance(requests, Sequence) else 0


def _decisions(given: Any, count: int) -> Any:
    if not isinstance(given, str):
        return given
    if given.strip().lower() in {"y", "yes", "ok", "approve", "approved"}:
        return {"decisions": [{"type": "approve"}] * count}
    return {"decisions": [{"type": "reject", "message": given}] * count}


def _question(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        for key in ("question", "prompt", "message", "description"):
            if isinstance(value.get(key), str):
                return str(value[key])
        if _actions(value):
            calls = [
                f"{a.get('name')}({json.dumps(jsonable(a.get('args')))})"
                for a in value["action_requests"]
            ]
            return "Approve " + ", ".join(calls) + "?"
    return result_text(value)


def _messages(update: Any) -> Sequence[Any]:
    """The messages in a node's update, whatever key they are under."""
    if isinstance(update, Mapping):
        return [m for value in update.values() for m in _messages(value)]
    if isinstance(update, (list, tuple)):
        return [m for value in update for m in _messages(value)]
    is_message = hasattr(update, "type") and hasattr(update, "response_metadata")
    return [update] if is_message else []


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
