"""What every agent of the platform does, whatever it is made of.

Subclass ``AgentConformance`` in a test module, say how to make the agent, and pytest (with
pytest-asyncio in auto mode) runs the suite on it::

    class TestMine(AgentConformance):
        async def make(self, base_url: str) -> Agent:
            return wrap(my_agent_that_asks_a_model_at(base_url))

The agent has to ask an OpenAI-compatible model at ``base_url`` (streaming, without retries),
offer it the tools of the task, call those that the model asks for, and stream its text.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

from codin.agent.a2a import agent_message, text_part, user_message
from codin.agent.base import Agent, Task
from codin.agent.events import (
    END_EVENTS,
    AgentEvent,
    Completed,
    Failed,
    TextDelta,
    TextFinal,
    ToolCall,
    ToolResult,
    Usage,
)
from codin.agent.response import AgentResponse
from codin.testing.agent_fakes import FakeTool, adding_tool, task_for
from codin.testing.scripted_model import (
    RecordedRequest,
    Script,
    ScriptedModel,
    Turn,
    cut,
    error,
    hang,
    nonsense,
    text,
    tool_call,
)
from codin.tool.base import ToolFailed

__all__ = ["AgentConformance", "FakeTool", "adding_tool", "task_for"]

E = TypeVar("E")

SECONDS = 20.0
"""No behaviour here may take longer."""


class AgentConformance(ABC):
    """The suite. The flags say what an agent cannot do for reasons that are not its own."""

    reports_usage = True
    """False for one whose model client does not ask for token counts."""
    bounds_itself = True
    """False for one whose loop is user code."""
    takes_history = True
    """False for one whose memory of the conversation is on the other side."""
    stops_its_model = True
    """False for one whose model's stream only its host can end, as ``codin.agent.host`` does."""
    max_model_calls = 4
    """How many model requests the agent of ``make_bounded`` may make."""

    @abstractmethod
    async def make(self, base_url: str) -> Agent:
        """The agent, asking the model at ``base_url``."""

    async def make_bounded(self, base_url: str) -> Agent:
        """The same, with at most ``max_model_calls`` requests a run."""
        agent = await self.make(base_url)
        agent.max_model_calls = self.max_model_calls  # type: ignore[attr-defined]
        return agent

    # What it says

    async def test_streams_its_text_and_ends_with_the_whole(self) -> None:
        said = "The answer is forty-two, and nothing else."
        async with self._run([text(said)], task_for("What is it?")) as (events, model):
            deltas = _of(events, TextDelta)
            assert len(deltas) > 1
            assert "".join(delta.text for delta in deltas) == said
            assert _of(events, TextFinal)[-1].text == said
            assert {d.message_id for d in deltas} == {_of(events, TextFinal)[-1].message_id}
            assert isinstance(events[-1], Completed)
            assert "What is it?" in model.requests[0].last_user

    async def test_can_be_awaited_for_its_outcome(self) -> None:
        script = [text("Let me add. ") + tool_call("add", {"a": 1, "b": 2}), text("It is 3.")]
        async with ScriptedModel(script).serve() as url:
            agent = await self.make(url)
            outcome = await (await agent.handle(task_for("1+2?", tools=[adding_tool()])))
            assert outcome.ok
            assert outcome.text == "It is 3."

    async def test_text_keeps_every_character(self) -> None:
        said = "Zürich → 東京 \u2028 <b>&amp;</b> \N{PARTY POPPER} \x0b tab\tend"
        async with self._run([text(said)], task_for("Say it")) as (events, _):
            assert _of(events, TextFinal)[-1].text == said

    async def test_ends_once(self) -> None:
        async with self._run([text("Yes.")], task_for("?")) as (events, _):
            assert [e for e in events if isinstance(e, END_EVENTS)] == [events[-1]]

    async def test_tells_what_it_used(self) -> None:
        turn = Turn(text="Yes.", usage=(11, 7))
        async with self._run([turn], task_for("?")) as (events, _):
            used = [(u.input_tokens, u.output_tokens) for u in _of(events, Usage)]
            assert used == ([(11, 7)] if self.reports_usage else [])

    async def test_an_empty_answer_is_an_answer(self) -> None:
        async with self._run([text("")], task_for("?")) as (events, _):
            assert isinstance(events[-1], Completed | Failed)

    # Tools

    async def test_calls_a_tool_and_goes_on_with_its_result(self) -> None:
        tool = adding_tool()
        script = [tool_call("add", {"a": 1, "b": 2}), text("It is 3.")]
        async with self._run(script, task_for("1+2?", tools=[tool])) as (events, model):
            (call,), (result,) = _of(events, ToolCall), _of(events, ToolResult)
            assert (call.name, call.arguments) == ("add", {"a": 1, "b": 2})
            assert (result.call_id, result.content) == (call.call_id, {"sum": 3})
            assert not result.is_error
            assert events.index(call) < events.index(result)
            assert tool.calls == [{"a": 1, "b": 2}]
            assert "3" in model.requests[1].tool_results[0]
            assert _of(events, TextFinal)[-1].text == "It is 3."
            assert isinstance(events[-1], Completed)

    async def test_offers_the_tools_of_the_run_and_no_others(self) -> None:
        model = ScriptedModel(lambda _: text("ok"))
        async with model.serve() as url:
            agent = await self.make(url)
            for tools in ([adding_tool()], [], [FakeTool("look", _nothing)]):
                await (await agent.handle(task_for("?", tools=tools)))
            assert [request.tools for request in model.requests] == [["add"], [], ["look"]]

    async def test_calls_in_one_turn_each_get_their_result(self) -> None:
        both = tool_call("add", {"a": 1, "b": 2}) + tool_call("add", {"a": 3, "b": 4})
        task = task_for("?", tools=[adding_tool()])
        async with self._run([both, text("3 and 7")], task) as (events, _):
            calls = {c.call_id: c.arguments for c in _of(events, ToolCall)}
            results = {r.call_id: r.content for r in _of(events, ToolResult)}
            assert len(calls) == len(results) == 2
            assert {calls[k]["a"]: results[k]["sum"] for k in calls} == {1: 3, 3: 7}

    async def test_a_tool_error_is_a_result_that_the_model_can_act_on(self) -> None:
        async def refuse(**_: Any) -> None:
            raise ToolFailed("no file 'x.csv'; there are: y.csv")

        tool = FakeTool("read", refuse)
        script = [tool_call("read", {}), text("Reading y.csv then.")]
        async with self._run(script, task_for("?", tools=[tool])) as (events, model):
            (result,) = _of(events, ToolResult)
            assert result.is_error
            assert result.content == "no file 'x.csv'; there are: y.csv"
            assert "there are: y.csv" in model.requests[1].tool_results[0]
            assert isinstance(events[-1], Completed)

    async def test_a_tool_that_breaks_does_not_end_the_run(self) -> None:
        async def breaks(**_: Any) -> None:
            raise ZeroDivisionError("division by zero")

        tool = FakeTool("ratio", breaks)
        script = [tool_call("ratio", {}), text("Sorry.")]
        async with self._run(script, task_for("?", tools=[tool])) as (events, model):
            (result,) = _of(events, ToolResult)
            assert result.is_error
            assert "division by zero" in model.requests[1].tool_results[0]
            assert isinstance(events[-1], Completed)

    async def test_a_tool_that_is_not_there_does_not_end_the_run(self) -> None:
        script = [tool_call("nope", {"a": 1}), text("Sorry.")]
        async with self._run(script, task_for("?", tools=[adding_tool()])) as (events, model):
            assert len(model.requests) == 2
            assert isinstance(events[-1], Completed)

    async def test_arguments_that_are_no_json_end_well_or_clearly(self) -> None:
        script = [tool_call("add", '{"a": 1, "b"'), text("Sorry.")]
        async with self._run(script, task_for("?", tools=[adding_tool()])) as (events, _):
            if isinstance(events[-1], Failed):
                assert "add" in events[-1].message
            else:
                assert isinstance(events[-1], Completed)

    async def test_a_loop_of_calls_is_bounded(self) -> None:
        if not self.bounds_itself:
            return
        model = ScriptedModel(lambda _: tool_call("add", {"a": 1, "b": 2}))
        async with model.serve() as url:
            agent = await self.make_bounded(url)
            events = await _collect(agent, task_for("?", tools=[adding_tool()]))
            assert isinstance(events[-1], Failed)
            assert events[-1].error_type == "TooManySteps"
            assert str(self.max_model_calls) in events[-1].message
            assert len(model.requests) <= self.max_model_calls

    # The conversation

    async def test_the_history_is_handed_to_the_model(self) -> None:
        if not self.takes_history:
            return
        history = [user_message("My name is Ada."), agent_message([text_part("Hello Ada.")])]
        task = task_for("What is my name?", history=history)
        async with self._run([text("Ada.")], task) as (_, model):
            roles = [m["role"] for m in model.requests[0].messages if m["role"] != "system"]
            assert roles == ["user", "assistant", "user"]
            assert "My name is Ada." in model.requests[0].text
            assert "What is my name?" in model.requests[0].last_user

    async def test_nothing_is_remembered_behind_the_platforms_back(self) -> None:
        model = ScriptedModel(lambda _: text("ok"))
        async with model.serve() as url:
            agent = await self.make(url)
            await (await agent.handle(task_for("secret of one", task_id="same")))
            await (await agent.handle(task_for("question of another", task_id="same")))
            assert "secret of one" not in model.requests[1].text

    async def test_runs_at_once_do_not_mix(self) -> None:
        def echo(request: RecordedRequest) -> Turn:
            if request.tool_results:
                return text(f"for {request.last_user}: {request.tool_results[-1]}", delay=0.01)
            return tool_call("mine", {}, id=f"call-{uuid.uuid4().hex}", delay=0.01)

        async def one(agent: Agent, number: int) -> None:
            async def mine(**_: Any) -> str:
                await asyncio.sleep(0.02)
                return f"value-{number}"

            task = task_for(f"run-{number}", tools=[FakeTool("mine", mine)])
            outcome = await (await agent.handle(task))
            assert f"run-{number}" in outcome.text
            assert f"value-{number}" in outcome.text

        async with ScriptedModel(echo).serve() as url:
            agent = await self.make(url)
            await asyncio.gather(*(one(agent, number) for number in range(5)))

    # What goes wrong

    async def test_an_error_of_the_model_is_told_once(self) -> None:
        broken = error(500, "the model broke")
        async with self._run(lambda _: broken, task_for("?")) as (events, _):
            (failed,) = [e for e in events if isinstance(e, END_EVENTS)]
            assert isinstance(failed, Failed)
            assert "the model broke" in failed.message

    async def test_a_model_that_is_not_there_is_said_to_be(self) -> None:
        agent = await self.make("http://127.0.0.1:9/v1")
        events = await _collect(agent, task_for("?"))
        assert isinstance(events[-1], Failed)
        assert "model" in events[-1].message

    async def test_nonsense_of_the_model_fails_or_ends_the_run(self) -> None:
        async with self._run([nonsense()], task_for("?")) as (events, _):
            assert isinstance(events[-1], Failed | Completed)
            assert _of(events, TextFinal) == []

    async def test_a_stream_that_breaks_fails_the_run(self) -> None:
        long = "This sentence goes on for quite a while before it is cut."
        async with self._run([cut(long, after=3)], task_for("?")) as (events, _):
            assert isinstance(events[-1], Failed)

    # Cancelling

    async def test_cancelling_closes_the_stream_of_the_model(self) -> None:
        if not self.stops_its_model:
            return
        model = ScriptedModel([text("word " * 2000, delay=0.02)])
        async with model.serve() as url:
            agent = await self.make(url)
            running, seen = self._consume(agent, task_for("Talk"))
            await _until(lambda: any(isinstance(e, TextDelta) for e in seen))
            await _cancel(running)
            await _until(lambda: model.requests[0].disconnected)
            assert not any(isinstance(e, Completed) for e in seen)

    async def test_cancelling_ends_a_request_that_hangs(self) -> None:
        if not self.stops_its_model:
            return
        model = ScriptedModel([hang()])
        async with model.serve() as url:
            agent = await self.make(url)
            running, _ = self._consume(agent, task_for("Talk"))
            await _until(lambda: bool(model.requests))
            await _cancel(running)
            await _until(lambda: model.requests[0].disconnected)

    async def test_cancelling_reaches_the_tool(self) -> None:
        state: list[str] = []

        async def slow(**_: Any) -> None:
            state.append("begun")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                state.append("cancelled")
                raise

        model = ScriptedModel([tool_call("slow", {})])
        async with model.serve() as url:
            agent = await self.make(url)
            running, _ = self._consume(agent, task_for("?", tools=[FakeTool("slow", slow)]))
            await _until(lambda: "begun" in state)
            await _cancel(running)
            await _until(lambda: "cancelled" in state)
            assert len(model.requests) == 1

    async def test_leaving_the_stream_early_stops_the_work(self) -> None:
        if not self.stops_its_model:
            return
        model = ScriptedModel([text("word " * 2000, delay=0.02)])
        async with model.serve() as url:
            agent = await self.make(url)
            events = aiter(await agent.handle(task_for("Talk")))
            while not isinstance(await anext(events), TextDelta):
                pass
            await events.aclose()  # type: ignore[attr-defined]
            await _until(lambda: model.requests[0].disconnected)

    # How the suite runs an agent

    @contextlib.asynccontextmanager
    async def _run(
        self, script: Script, task: Task
    ) -> AsyncIterator[tuple[list[AgentEvent], ScriptedModel]]:
        model = ScriptedModel(script)
        async with model.serve() as url:
            yield await _collect(await self.make(url), task), model

    def _consume(self, agent: Agent, task: Task) -> tuple[asyncio.Task[None], list[AgentEvent]]:
        seen: list[AgentEvent] = []

        async def consume() -> None:
            async for event in await agent.handle(task):
                seen.append(event)  # noqa: PERF401 - others look at it meanwhile

        return asyncio.create_task(consume()), seen


async def _collect(agent: Agent, task: Task) -> list[AgentEvent]:
    async with asyncio.timeout(SECONDS):
        response = await agent.handle(task)
        assert isinstance(response, AgentResponse)
        return [event async for event in response]


def _of(events: Sequence[AgentEvent], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not true():  # noqa: ASYNC110 - the sides share nothing to wait on
            await asyncio.sleep(0.01)


async def _cancel(running: asyncio.Task[None]) -> None:
    running.cancel()
    async with asyncio.timeout(SECONDS):
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert running.cancelled()


async def _nothing(**_: Any) -> str:
    return "nothing"
