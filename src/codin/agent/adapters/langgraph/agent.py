"""LangGraph graphs as agents: compiled graphs, ``create_agent``, functional ones, and factories."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, ClassVar

from codin.agent.adapters._answer import loading
from codin.agent.adapters._failure import TooManySteps, explain, too_many_steps
from codin.agent.adapters._run import Run
from codin.agent.adapters.base import Adapter, Traits, build, is_factory, skill
from codin.agent.adapters.langgraph import io, pause
from codin.agent.adapters.langgraph.reader import Reader
from codin.agent.base import INPUT_MODES, AgentError, AgentInfo, Task
from codin.agent.events import Failed
from codin.tool.base import Tool


class LangGraphAgent(Adapter):
    """A graph, or a function ``(tools[, model]) -> graph``.

    A compiled graph cannot be given tools any more: an agent that asks for tools is a factory,
    called for each run with LangChain tools. The graph's own checkpointer is replaced by one that
    lives as long as the run; what a run that waits needs to go on is in its input request. A graph
    without a store is given the task's memory as one, if it has any.
    """

    framework: ClassVar[str] = "langgraph"
    input_modes: ClassVar[tuple[str, ...]] = (
        *INPUT_MODES,
        "image/*",
        "audio/*",
        "application/pdf",
    )

    def __init__(self, subject: Any, info: AgentInfo, **options: Any) -> None:
        super().__init__(subject, info, **options)
        if info.tools and not is_factory(subject):
            raise AgentError(
                f"agent {info.id!r} asks for tools, and a compiled graph cannot be given any: "
                "wrap a function that takes the tools and returns the graph"
            )

    @classmethod
    def traits(cls, subject: Any) -> Traits:
        """The tools of its tool nodes and its subgraphs; a builder belongs to its graph."""
        nodes = dict(getattr(subject, "nodes", None) or {})
        inner = {name: graph for name, node in nodes.items() for graph in _subgraphs(node)}
        named: dict[str, Any] = {}
        for node in nodes.values():
            named.update(getattr(getattr(node, "bound", None), "tools_by_name", {}))
        tools = [skill(name, tool.description) for name, tool in named.items()]
        builder = getattr(subject, "builder", None)
        return Traits("", (*tools, *map(str, inner)), (builder, *inner.values()))

    async def _run(self, task: Task, run: Run) -> None:
        paused = self._paused(task)
        if paused is not None:
            paused.answered(task.message)
            if (request := paused.request()) is not None:
                await run.emit(request)
                return
            if paused.stopped:
                await run.final(task.message.message_id, "Stopped, as it was not approved.")
                return
        graph = await self._graph(task, run)
        with loading(self.id):
            thread = pause.Thread(graph, paused, _store(graph, task))
        reader = Reader(run, self.id)
        if paused is None:
            given = io.given(graph, task)
            reader.know(io.messages_in(given))
        else:
            given = paused.command()
            reader.know(await thread.messages())
        await self._drive(run, reader, thread, given)

    def _paused(self, task: Task) -> pause.Paused | None:
        if task.state is None:
            return None
        with loading(self.id):
            return pause.Paused.load(task.state)

    async def _drive(self, run: Run, reader: Reader, thread: pause.Thread, given: Any) -> None:
        counter = _counter(self.max_model_calls)
        stream = thread.graph.astream(
            given,
            {**thread.config, "callbacks": [_stopper(run), counter]},
            stream_mode=["messages", "updates", "custom"],
            subgraphs=True,
            # A checkpoint is of use only when the run stops to ask.
            durability="exit",
        )
        async with aclosing(stream):
            async for namespace, mode, data in stream:
                await reader.read(namespace, mode, data)
        if counter.exceeded:
            # Told for a second time, in case that the graph took it for an error to live with.
            raise TooManySteps
        state = await thread.state()
        if (paused := thread.paused(state)) is None:
            await reader.end(thread.graph, state.values)
        elif (request := paused.request()) is not None:
            await run.emit(request)

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

    def _explain(self, error: Exception) -> Failed:
        if isinstance(error, TooManySteps):
            return too_many_steps(self.id, self.max_model_calls)
        if type(error).__name__ == "GraphRecursionError":
            return Failed(
                error_type="TooManySteps",
                message=f"{self.id} came to no end within the steps that its graph may take: "
                f"{str(error).partition('.')[0]}",
            )
        return explain(error)


def _store(graph: Any, task: Task) -> Any:
    """The store of the run: the graph's own, or the platform's memory."""
    own = getattr(graph, "store", None)
    if own is not None or task.memory is None:
        return own
    from codin.agent.adapters.langgraph.store import MemoryStore

    return MemoryStore(task.memory.system, task.memory.scope, index={"fields": ["$"]})


def _subgraphs(node: Any) -> list[Any]:
    return list(getattr(node, "subgraphs", None) or ())


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


def _counter(limit: int) -> Any:
    """Lets a run ask models ``limit`` times, wherever in the graph."""
    from langchain_core.callbacks import AsyncCallbackHandler

    class Counter(AsyncCallbackHandler):  # type: ignore[misc]
        raise_error = True
        exceeded = False
        _left = limit

        async def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            self._count()

        async def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
            self._count()

        def _count(self) -> None:
            self.exceeded = self._left <= 0
            if self.exceeded:
                raise TooManySteps
            self._left -= 1

    return Counter()


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
