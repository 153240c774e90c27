"""What an agent does with the tools of its run."""

from __future__ import annotations

from typing import Any

from codin.agent.events import Completed, Failed, TextFinal, ToolCall, ToolResult
from codin.testing._agent_base import AgentSuite, behaviour, collect, of
from codin.testing.agent_fakes import FakeTool, adding_tool, task_for
from codin.testing.scripted_model import ScriptedModel, text, tool_call
from codin.tool.base import ToolFailed

_CIRCLES: dict[str, Any] = {
    "type": "object",
    "properties": {
        "root": {"$ref": "#/$defs/Node"},
        "anything": {"$ref": "#/$defs/Here"},
        "itself": {"$ref": "#"},
    },
    "required": ["root"],
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "inner": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            },
            "required": ["name"],
        },
        "Here": {"$ref": "#/$defs/There"},
        "There": {"$ref": "#/$defs/Here"},
    },
}


class ToolSuite(AgentSuite):
    """Tools."""

    @behaviour("tools")
    async def test_calls_a_tool_and_goes_on_with_its_result(self) -> None:
        tool = adding_tool()
        script = [tool_call("add", {"a": 1, "b": 2}), text("It is 3.")]
        async with self._run(script, task_for("1+2?", tools=[tool])) as (events, model):
            (call,), (result,) = of(events, ToolCall), of(events, ToolResult)
            assert (call.name, call.arguments) == ("add", {"a": 1, "b": 2})
            assert (result.call_id, result.content) == (call.call_id, {"sum": 3})
            assert not result.is_error
            assert events.index(call) < events.index(result)
            assert tool.calls == [{"a": 1, "b": 2}]
            assert "3" in model.requests[1].tool_results[0]
            assert of(events, TextFinal)[-1].text == "It is 3."
            assert isinstance(events[-1], Completed)

    @behaviour("tools")
    async def test_offers_the_tools_of_the_run_and_no_others(self) -> None:
        model = ScriptedModel(lambda _: text("ok"))
        async with model.serve() as url:
            agent = await self.make(url)
            for tools in ([adding_tool()], [], [FakeTool("look", _nothing)]):
                await (await agent.handle(task_for("?", tools=tools)))
            assert [request.tools for request in model.requests] == [["add"], [], ["look"]]

    @behaviour("tools")
    async def test_calls_in_one_turn_each_get_their_result(self) -> None:
        both = tool_call("add", {"a": 1, "b": 2}) + tool_call("add", {"a": 3, "b": 4})
        task = task_for("?", tools=[adding_tool()])
        async with self._run([both, text("3 and 7")], task) as (events, _):
            calls = {c.call_id: c.arguments for c in of(events, ToolCall)}
            results = {r.call_id: r.content for r in of(events, ToolResult)}
            assert len(calls) == len(results) == 2
            assert {calls[k]["a"]: results[k]["sum"] for k in calls} == {1: 3, 3: 7}

    @behaviour("tools")
    async def test_a_tool_whose_schema_leads_in_circles_is_called(self) -> None:
        tool = FakeTool("look", _nothing, input_schema=_CIRCLES)
        arguments = {"root": {"name": "a", "inner": [{"name": "b", "inner": []}]}}
        script = [tool_call("look", arguments), text("Nothing.")]
        async with self._run(script, task_for("?", tools=[tool])) as (events, _):
            assert isinstance(events[-1], Completed), events[-1]
            (called,) = tool.calls
            assert called["root"]["inner"][0]["name"] == "b"

    @behaviour("tools")
    async def test_a_tool_error_is_a_result_that_the_model_can_act_on(self) -> None:
        async def refuse(**_: Any) -> None:
            raise ToolFailed("no file 'x.csv'; there are: y.csv")

        tool = FakeTool("read", refuse)
        script = [tool_call("read", {}), text("Reading y.csv then.")]
        async with self._run(script, task_for("?", tools=[tool])) as (events, model):
            (result,) = of(events, ToolResult)
            assert result.is_error
            assert result.content == "no file 'x.csv'; there are: y.csv"
            assert "there are: y.csv" in model.requests[1].tool_results[0]
            assert isinstance(events[-1], Completed)

    @behaviour("tools")
    async def test_a_tool_that_breaks_does_not_end_the_run(self) -> None:
        async def breaks(**_: Any) -> None:
            raise ZeroDivisionError("division by zero")

        tool = FakeTool("ratio", breaks)
        script = [tool_call("ratio", {}), text("Sorry.")]
        async with self._run(script, task_for("?", tools=[tool])) as (events, model):
            (result,) = of(events, ToolResult)
            assert result.is_error
            assert "division by zero" in model.requests[1].tool_results[0]
            assert isinstance(events[-1], Completed)

    @behaviour("tools")
    async def test_a_tool_that_is_not_there_does_not_end_the_run(self) -> None:
        script = [tool_call("nope", {"a": 1}), text("Sorry.")]
        async with self._run(script, task_for("?", tools=[adding_tool()])) as (events, model):
            assert len(model.requests) == 2
            assert isinstance(events[-1], Completed)

    @behaviour("tools")
    async def test_arguments_that_are_no_json_end_well_or_clearly(self) -> None:
        script = [tool_call("add", '{"a": 1, "b"'), text("Sorry.")]
        async with self._run(script, task_for("?", tools=[adding_tool()])) as (events, _):
            if isinstance(events[-1], Failed):
                assert "add" in events[-1].message
            else:
                assert isinstance(events[-1], Completed)

    @behaviour("tools")
    async def test_a_loop_of_calls_is_bounded(self) -> None:
        if not self.bounds_itself:
            return
        model = ScriptedModel(lambda _: tool_call("add", {"a": 1, "b": 2}))
        async with model.serve() as url:
            agent = await self.make_bounded(url)
            events = await collect(agent, task_for("?", tools=[adding_tool()]))
            assert isinstance(events[-1], Failed)
            assert events[-1].error_type == "TooManySteps"
            assert str(self.max_model_calls) in events[-1].message
            assert len(model.requests) <= self.max_model_calls


async def _nothing(**_: Any) -> str:
    return "nothing"
