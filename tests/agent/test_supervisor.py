"""A supervisor: rounds of calls at the same time, and their bounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from codin.agent.a2a import text_message, user_message
from codin.agent.base import Task
from codin.agent.events import Completed, Failed, TextFinal, ToolCall, ToolResult
from codin.agent.supervisor import Bounds, Supervisor, round_type, supervisor_info
from codin.model import BadModelOutput, CallContext, ChatMessage, ModelChoice, ModelClient
from codin.security import LOCAL_USER
from codin.tool.base import Tool, ToolFailed, ToolSpec


class Leader(ModelClient):
    """Says what it is told to, round by round; the last answer again and again."""

    def __init__(self, *answers: object) -> None:
        self.choice = ModelChoice("openai", "leader")
        self.answers = list(answers)
        self.asked: list[list[ChatMessage]] = []

    async def generate(  # type: ignore[override]
        self,
        messages: Sequence[ChatMessage],
        *,
        context: CallContext,
        output: type[Any] = str,
        **_: object,
    ) -> Any:
        assert (context.principal, context.task_id) == (LOCAL_USER, "t")
        self.asked.append(list(messages))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if output is str:
            return "out of rounds"
        try:
            return TypeAdapter(output).validate_python(answer)
        except ValidationError as error:
            raise BadModelOutput(f"no valid output: {error.error_count()} errors") from error

    def stream(self, messages: Sequence[ChatMessage], **_: object) -> AsyncIterator[str]:
        raise NotImplementedError


class Asked:
    """The tool of an agent: tells what it was asked, once all have been."""

    def __init__(self, agent: str, together: asyncio.Barrier | None = None) -> None:
        self.name = f"ask_{agent}"
        self.spec = ToolSpec(name=self.name, description=f"Asks {agent}.")
        self.requests: list[str] = []
        self._together = together

    async def invoke(self, *args: Any, **kwargs: Any) -> Any:
        self.requests.append(kwargs["request"])
        if kwargs["request"] == "fail":
            raise ToolFailed("it does not work")
        if self._together is not None:
            await self._together.wait()
        return f"{self.name} says {kwargs['request']}"


def give(**work: str) -> dict[str, Any]:
    return {"calls": [{"agent": agent, "request": request} for agent, request in work.items()]}


def task(*tools: Tool, history: Sequence[Any] = ()) -> Task:
    return Task("t", "c", user_message("Do it."), LOCAL_USER, tools=tools, history=tuple(history))


def boss(model: ModelClient, **more: Any) -> Supervisor:
    return Supervisor(supervisor_info("boss", ["a", "b"], None, None), model, **more)


async def test_calls_of_a_round_are_made_at_the_same_time_and_told_in_the_next() -> None:
    together = asyncio.Barrier(2)
    a, b = Asked("a", together), Asked("b", together)
    model = Leader(give(a="one", b="two"), {"calls": [], "answer": "both done"})
    async with asyncio.timeout(5):
        events = [e async for e in await boss(model, instructions="Be brief.").handle(task(a, b))]
    assert events[-1] == Completed()
    assert [e.text for e in events if isinstance(e, TextFinal)] == ["both done"]
    calls = {e.call_id: e.arguments for e in events if isinstance(e, ToolCall)}
    results = {e.call_id: e.content for e in events if isinstance(e, ToolResult)}
    assert sorted(calls.values(), key=str) == [{"request": "one"}, {"request": "two"}]
    assert calls.keys() == results.keys()
    opening = model.asked[0][0].content
    assert "- a: Asks a.\n- b: Asks b." in opening
    assert opening.endswith("Be brief.")
    told = json.loads(model.asked[1][-1].content.partition("\n")[2])
    assert told == [
        {"agent": "a", "request": "one", "result": "ask_a says one"},
        {"agent": "b", "request": "two", "result": "ask_b says two"},
    ]


async def test_a_failure_is_told_as_one_and_the_others_go_on() -> None:
    a, b = Asked("a"), Asked("b")
    model = Leader(give(a="fail", b="two"), {"calls": [], "answer": "half"})
    outcome = await (await boss(model).handle(task(a, b)))
    assert (outcome.ok, outcome.text) == (True, "half")
    told = json.loads(model.asked[1][-1].content.partition("\n")[2])
    assert told[0] == {"agent": "a", "request": "fail", "error": "it does not work"}
    assert told[1]["result"] == "ask_b says two"


async def test_rounds_are_bounded_and_the_last_word_is_an_answer() -> None:
    a = Asked("a")
    model = Leader(give(a="again"))
    outcome = await (await boss(model, bounds=Bounds(rounds=3)).handle(task(a)))
    assert outcome.text == "out of rounds"
    assert (len(a.requests), len(model.asked)) == (3, 4)
    assert model.asked[-1][-1].content.startswith("There are no more rounds")


async def test_calls_of_a_round_are_bounded() -> None:
    model = Leader({"calls": [{"agent": "a", "request": str(n)} for n in range(3)]})
    a = Asked("a")
    outcome = await (await boss(model, bounds=Bounds(at_once=2)).handle(task(a)))
    assert isinstance(outcome.end, Failed)
    assert outcome.end.error_type == "BadModelOutput"
    assert a.requests == []


async def test_only_agents_that_the_run_has_can_be_called() -> None:
    a = Asked("a")
    model = Leader(give(b="one"))
    outcome = await (await boss(model).handle(task(a)))
    assert isinstance(outcome.end, Failed)
    nobody = await (await boss(model).handle(task()))
    assert isinstance(nobody.end, Failed)
    assert nobody.end.message == (
        "boss has no agent that 'local' may use: it asks for agent:a, agent:b"
    )


@pytest.mark.parametrize("first", [{"calls": []}, {"calls": [], "answer": "made up"}])
async def test_a_task_begins_with_work(first: dict[str, Any]) -> None:
    outcome = await (await boss(Leader(first)).handle(task(Asked("a"))))
    assert isinstance(outcome.end, Failed)
    again = Leader(give(a="one"), {"calls": [], "answer": ""})
    outcome = await (await boss(again).handle(task(Asked("a"))))
    assert isinstance(outcome.end, Failed), "neither work nor an answer"


async def test_the_conversation_comes_before_the_task() -> None:
    from a2a.types import Message
    from google.protobuf.json_format import ParseDict

    said = text_message("Hello.", context_id="c", task_id="0")
    history = [user_message("Hi."), ParseDict(said, Message())]
    model = Leader({"calls": [], "answer": "done"})
    await (await boss(model).handle(task(Asked("a"), history=history)))
    told = [(message.role, message.content) for message in model.asked[0][1:]]
    assert told == [("user", "Hi."), ("assistant", "Hello."), ("user", "Do it.")]


async def test_cancelling_it_ends_its_calls() -> None:
    stopped = asyncio.Event()

    class Slow(Asked):
        async def invoke(self, *args: Any, **kwargs: Any) -> Any:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

    started = asyncio.Event()
    response = await boss(Leader(give(a="one"))).handle(task(Slow("a")))
    running = asyncio.ensure_future(response._collect())
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert stopped.is_set()


def test_the_model_can_name_nobody_else() -> None:
    schema = json.dumps(TypeAdapter(round_type(["a", "b"], 4)).json_schema())
    assert '"enum": ["a", "b"]' in schema
    assert '"maxItems": 4' in schema
