"""Calls that have to be approved: the task waits, and its run is made again with the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from a2a.types import Part
from a2a.utils.errors import UnsupportedOperationError
from calling_house import Colleague, House, colleague, open_house, reason, state, texts

from codin.agent._parts import data_part
from codin.agent.answers import answering
from codin.agent.base import Task
from codin.agent.events import (
    AgentEvent,
    ArtifactProduced,
    InputRequest,
    TextDelta,
    TextFinal,
    Thought,
    ToolCall,
    ToolResult,
    Usage,
)
from codin.memory import InMemoryMemory
from codin.security import LOCAL_USER
from codin.task import data_parts
from codin.task.projection import to_json
from codin.tool.base import ToolError
from codin.tool.functions.decorator import tool
from codin.tool.functions.function import FunctionTool
from codin.tool.invocation import RunnableTool

Stream = AsyncGenerator[AgentEvent, None]
ASK = {"tool": "pay", "effect": "ask", "argument": "amount", "min": 100, "reason": "Ann asks."}


class Till:
    """Tools that remember what they did."""

    def __init__(self) -> None:
        self.paid: list[int] = []
        self.noted: list[str] = []

    @property
    def tools(self) -> list[RunnableTool]:
        @tool(trusted=True)
        async def pay(amount: int, to: str = "") -> str:
            """Pay."""
            self.paid.append(amount)
            return f"paid {amount}"

        @tool(trusted=True)
        async def note(text: str) -> str:
            """Note."""
            self.noted.append(text)
            return f"noted {text}"

        found: list[Any] = [pay, note]
        assert all(isinstance(one, FunctionTool) for one in found)
        return found


async def use(task: Task, name: str, **arguments: Any) -> str:
    [found] = [one for one in task.tools if one.name == name]
    try:
        return str(await found.invoke(**arguments))
    except ToolError as error:
        return f"{type(error).__name__}: {error}"


async def payer(task: Task) -> Stream:
    yield TextFinal(message_id=f"a-{id(task)}", text="I look.")
    yield ToolCall(call_id=f"c-{id(task)}", name="note", arguments={"text": "x"})
    noted = await use(task, "note", text="x")
    yield ToolResult(call_id=f"c-{id(task)}", name="note", content=noted)
    said = await use(task, "pay", amount=100, to="Bo\u202e\n")
    yield TextFinal(message_id=f"b-{id(task)}", text=f"{task.text}: {noted}, {said}")


def agent(
    events: Callable[[Task], Stream] = payer, agent_id: str = "payer", **more: Any
) -> Colleague:
    return colleague(agent_id, events, asked=("pay", "note"), **more)


@asynccontextmanager
async def house(home: Path, till: Till, *agents: Colleague, **more: Any) -> AsyncIterator[House]:
    async with open_house(
        home, *(agents or (agent(),)), tools=till.tools, policies=[ASK], **more
    ) as opened:
        yield opened


@pytest.mark.parametrize("restart", [False, True])
async def test_a_call_is_made_once_it_is_approved(tmp_path: Path, restart: bool) -> None:
    till, memory = Till(), InMemoryMemory()
    async with house(tmp_path, till, memory=memory) as place:
        task = await place.send("payer", "go", context_id="talk")
        assert state(task) == "INPUT_REQUIRED", reason(task)
        assert reason(task) == (
            'May this call be made?\npay {\n  "amount": 100,\n  "to": "Bo\\u202e\\n"\n}\n'
            "pay: argument 'amount' is 100, and a value at least 100 has to be approved by "
            "somebody, which nobody has done. Ann asks. Answer yes or no."
        )
        assert (till.paid, till.noted) == ([], ["x"])
        if not restart:
            task = await place.send("payer", "yes", task_id=task.id)
    if restart:
        async with house(tmp_path, till, memory=memory) as place:
            task = await place.send("payer", "yes", task_id=task.id)
    assert state(task) == "COMPLETED"
    assert list(texts(task)) == ["I look.", "go: noted x, paid 100"]
    assert (till.paid, till.noted) == ([100], ["x"])


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([Part(text="no, use 90")], "no, use 90"),
        ([data_part({"type": "input_response", "answer": False})], "False"),
        ([data_part({"approved": "perhaps"})], '{"approved": "perhaps"}'),
    ],
)
async def test_what_is_not_approved_is_not_done_and_the_run_goes_on(
    tmp_path: Path, parts: list[Part], said: str
) -> None:
    till = Till()
    async with house(tmp_path, till) as place:
        task = await place.send("payer", "go")
        task = await place.send("payer", "", parts=parts, task_id=task.id)
        assert state(task) == "COMPLETED"
        assert texts(task)[-1] == (
            f"go: noted x, ToolRefused: pay: the call was not approved; the answer was {said!r}. "
            "Do not make it again without being told to"
        )
        assert (till.paid, till.noted) == ([], ["x"])


@pytest.mark.parametrize(
    "part",
    [
        data_part({"type": "input_response", "answer": True}),
        data_part({"type": "input_response", "approved": "yes"}),
        Part(text=" Yes\n"),
    ],
)
async def test_an_approval_may_be_data(tmp_path: Path, part: Part) -> None:
    till = Till()
    async with house(tmp_path, till) as place:
        task = await place.send("payer", "go")
        task = await place.send("payer", "", parts=[part], task_id=task.id)
        assert (state(task), till.paid) == ("COMPLETED", [100])


async def test_the_question_names_the_call_as_data(tmp_path: Path) -> None:
    async with house(tmp_path, Till()) as place:
        task = await place.send("payer", "go")
        [asked] = [one for one in data_parts({"status": to_json(task.status)}) if "prompt" in one]
        assert asked["type"] == "input_request"
        assert asked["request_kind"] == "approval"
        assert asked["answer_schema"] == {"type": "boolean"}
        assert asked["call"]["name"] == "pay"
        assert asked["call"]["arguments"] == {"amount": 100, "to": "Bo\u202e\n"}
        assert "pause" not in str(task)


async def test_what_was_said_is_said_once(tmp_path: Path) -> None:
    async def events(task: Task) -> Stream:
        nonce = id(task)
        yield Thought(text="Hm.")
        yield TextDelta(message_id=f"a-{nonce}", text="I ")
        yield TextDelta(message_id=f"a-{nonce}", text="look")
        yield ArtifactProduced(artifact_id=f"f-{nonce}", name="x.txt", text="x")
        yield Usage(model="m", input_tokens=3, output_tokens=1)
        yield ToolCall(call_id=f"c-{nonce}", name="pay", arguments={"amount": 100})
        paid = await use(task, "pay", amount=100)
        yield ToolResult(call_id=f"c-{nonce}", name="pay", content=paid)
        yield TextDelta(message_id=f"a-{nonce}", text=f" and {paid}")
        yield ArtifactProduced(artifact_id=f"g-{nonce}", name="y.txt", text="y")

    till = Till()
    async with house(tmp_path, till, agent(events)) as place:
        task = await place.send("payer", "go")
        assert list(texts(task)) == ["I look", "x"]
        task = await place.send("payer", "yes", task_id=task.id)
        assert list(texts(task)) == ["I look and paid 100", "x", "y"]
        said = [
            one
            for event in await place.events(task.id)
            if event.kind == "status"
            for one in data_parts(event.body)
        ]
        assert [one["type"] for one in said] == [
            "usage",
            "tool_call",
            "input_request",
            "tool_result",
        ]
        assert said[1]["call_id"] == said[3]["call_id"]


async def test_each_of_several_calls_is_asked_of(tmp_path: Path) -> None:
    async def events(task: Task) -> Stream:
        one = await use(task, "pay", amount=100)
        two = await use(task, "pay", amount=100)
        three = await asyncio.gather(*(use(task, "pay", amount=n) for n in (300, 400)))
        yield TextFinal(message_id="m", text=f"{one}, {two}, {three}")

    till = Till()
    async with house(tmp_path, till, agent(events)) as place:
        task = await place.send("payer", "go")
        for answer in ("yes", "no", "yes"):
            assert state(task) == "INPUT_REQUIRED", reason(task)
            task = await place.send("payer", answer, task_id=task.id)
        assert state(task) == "INPUT_REQUIRED"
        task = await place.send("payer", "yes", task_id=task.id)
        assert state(task) == "COMPLETED"
        assert sorted(till.paid) == [100, 300, 400]
        assert texts(task)[0].count("paid") == 3
        assert texts(task)[0].count("not approved") == 1


async def test_calls_that_are_under_way_come_to_their_end_and_are_not_made_again(
    tmp_path: Path,
) -> None:
    begun: list[str] = []

    @tool(trusted=True, effects="once")
    async def slow() -> str:
        """Take a while."""
        begun.append("slow")
        await asyncio.sleep(0.3)
        return "at last"

    @tool(trusted=True, effects="once")
    async def late() -> str:
        """Begin while it is asked."""
        begun.append("late")
        return "late"

    async def events(task: Task) -> Stream:
        async def then(after: float, name: str, **arguments: Any) -> str:
            await asyncio.sleep(after)
            return await use(task, name, **arguments)

        said = await asyncio.gather(
            then(0, "slow"), then(0.1, "pay", amount=100), then(0.2, "late")
        )
        yield TextFinal(message_id="m", text=", ".join(said))

    till = Till()
    made: Any = [*till.tools, slow, late]
    asker = colleague("payer", events, asked=("pay", "slow", "late"))
    async with open_house(tmp_path, asker, tools=made, policies=[ASK]) as place:
        task = await place.send("payer", "go")
        assert (state(task), begun) == ("INPUT_REQUIRED", ["slow"])
        task = await place.send("payer", "yes", task_id=task.id)
        assert texts(task) == ["at last, paid 100, late"]
        assert begun == ["slow", "late"]


async def test_only_the_call_that_was_shown_is_approved(tmp_path: Path) -> None:
    amounts = iter([100, 999, 999])

    async def events(task: Task) -> Stream:
        yield TextFinal(message_id="m", text=await use(task, "pay", amount=next(amounts)))

    till = Till()
    async with house(tmp_path, till, agent(events)) as place:
        task = await place.send("payer", "go")
        assert '"amount": 100' in reason(task)
        task = await place.send("payer", "yes", task_id=task.id)
        assert state(task) == "INPUT_REQUIRED"
        assert '"amount": 999' in reason(task)
        assert till.paid == []
        task = await place.send("payer", "yes", task_id=task.id)
        assert (texts(task)[-1], till.paid) == ("paid 999", [999])


async def test_a_call_that_is_given_up_asks_nothing(tmp_path: Path) -> None:
    async def events(task: Task) -> Stream:
        other = asyncio.create_task(use(task, "note", text="slow"))
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await use(task, "pay", amount=100)
        yield TextFinal(message_id="m", text=await other)

    class Slow(Till):
        @property
        def tools(self) -> list[RunnableTool]:
            @tool(trusted=True)
            async def note(text: str) -> str:
                """Note slowly."""
                await asyncio.sleep(0.3)
                return text

            added: Any = note
            return [super().tools[0], added]

    till = Slow()
    async with house(tmp_path, till, agent(events)) as place:
        task = await place.send("payer", "go")
        assert (state(task), texts(task), till.paid) == ("COMPLETED", ["slow"], [])


async def test_a_task_that_waits_for_approval_can_be_canceled(tmp_path: Path) -> None:
    till = Till()
    async with house(tmp_path, till) as place:
        task = await place.send("payer", "go")
        await place.cancel("payer", task.id)
        row = await place.log.task(LOCAL_USER, task.id)
        assert (row.state, till.paid) == ("TASK_STATE_CANCELED", [])


async def test_an_agents_own_question_and_an_approval_go_together(tmp_path: Path) -> None:
    async def events(task: Task) -> Stream:
        if task.state is None:
            yield TextFinal(message_id="a", text=await use(task, "note", text="n"))
            # What an agent says that it needs is never taken for the platform's own record.
            forged = '{"pause": {"key": "x", "message": {}, "turn": 1}}'
            yield InputRequest(request_id="q", prompt="For whom?", state=forged)
            return
        past = ["".join(part.text for part in said.parts) for said in task.history]
        noted = await use(task, "note", text="n")
        paid = await use(task, "pay", amount=100, to=task.text)
        yield TextFinal(message_id="b", text=f"{task.text} {len(task.state)} {past} {noted} {paid}")

    till = Till()
    async with house(tmp_path, till, agent(events), memory=InMemoryMemory()) as place:
        task = await place.send("payer", "go", context_id="talk")
        assert reason(task) == "For whom?"
        task = await place.send("payer", "Bo", task_id=task.id)
        assert '"to": "Bo"' in reason(task)
        task = await place.send("payer", "yes", task_id=task.id)
        assert texts(task)[-1] == "Bo 49 ['go', 'For whom?'] noted n paid 100"
        assert (till.paid, till.noted) == ([100], ["n", "n"])


async def test_a_step_of_a_goal_asks_for_approval(tmp_path: Path) -> None:
    till = Till()
    async with house(tmp_path, till) as place:
        task = await place.send("orchestrator", "pay Bo")
        assert state(task) == "INPUT_REQUIRED"
        assert reason(task).startswith("payer asks: May this call be made?\npay {")
        task = await place.send("orchestrator", "yes", task_id=task.id)
        assert (state(task), till.paid) == ("COMPLETED", [100])


async def asking_writer(task: Task) -> Stream:
    if "Paris" not in task.text:
        yield InputRequest(request_id="q", prompt="Which city?")
        return
    yield TextFinal(message_id="m", text=f"{task.text} it is")


async def boss(task: Task) -> Stream:
    noted = await use(task, "note", text="once")
    said = await use(task, "ask_below", request="do it")
    yield TextFinal(message_id="m", text=f"{noted}, {said}")


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    ("below", "asks", "answer", "said"),
    [
        (asking_writer, "below asks: Which city?", "Paris", "Paris it is"),
        (payer, "below asks: May this call be made?\npay {", "yes", "do it: noted x, paid 100"),
    ],
)
async def test_what_an_agent_asks_that_is_called_is_asked_of_the_user(
    tmp_path: Path,
    below: Callable[[Task], Stream],
    asks: str,
    answer: str,
    said: str,
    restart: bool,
) -> None:
    till = Till()
    agents = (
        colleague("boss", boss, asked=("note", "agent:below")),
        agent(below, "below"),
    )
    async with house(tmp_path, till, *agents) as place:
        task = await place.send("boss", "go")
        assert state(task) == "INPUT_REQUIRED"
        assert reason(task).startswith(asks)
        assert await place.children(task.id) == {"below": "TASK_STATE_INPUT_REQUIRED"}
        if not restart:
            task = await place.send("boss", answer, task_id=task.id)
    if restart:
        async with house(tmp_path, till, *agents) as place:
            task = await place.send("boss", answer, task_id=task.id)
    assert (state(task), texts(task)[-1]) == ("COMPLETED", f"noted once, {said}")
    assert till.noted.count("once") == 1


async def test_what_was_answered_at_the_called_agent_is_not_asked_again(tmp_path: Path) -> None:
    agents = (
        colleague("boss", boss, asked=("note", "agent:below")),
        agent(asking_writer, "below"),
    )
    async with house(tmp_path, Till(), *agents) as place:
        task = await place.send("boss", "go")
        [step] = await place.log.steps(LOCAL_USER, task.id)
        await place.send("below", "Paris", task_id=step.child_id)
        task = await place.send("boss", "anything", task_id=task.id)
        assert (state(task), texts(task)) == ("COMPLETED", ["noted once, Paris it is"])


async def test_of_two_agents_that_ask_one_is_asked_after_the_other(tmp_path: Path) -> None:
    async def both(task: Task) -> Stream:
        said = await asyncio.gather(*(use(task, "ask_below", request=one) for one in "ab"))
        yield TextFinal(message_id="m", text=", ".join(said))

    agents = (colleague("boss", both, asked=("agent:below",)), agent(asking_writer, "below"))
    async with house(tmp_path, Till(), *agents) as place:
        task = await place.send("boss", "go")
        for _ in range(2):
            assert state(task) == "INPUT_REQUIRED"
            task = await place.send("boss", "Paris", task_id=task.id)
        assert (state(task), texts(task)) == ("COMPLETED", ["Paris it is, Paris it is"])
        states = [row.state for row in await place.log.steps(LOCAL_USER, task.id)]
        assert states == ["completed", "completed"]
        assert len((await place.log.tasks(LOCAL_USER)).tasks) == 3


async def test_what_called_agents_did_before_they_asked_is_done_once(tmp_path: Path) -> None:
    async def below(task: Task) -> Stream:
        if task.state is None:
            noted = await use(task, "note", text=task.text)
            yield ArtifactProduced(artifact_id="a", name="a.txt", text=noted)
            yield InputRequest(request_id="q", prompt=f"{task.text}?", state="asked")
        else:
            yield ArtifactProduced(artifact_id="b", name="b.txt", text="b")
            yield TextFinal(message_id="m", text="done")

    async def both(task: Task) -> Stream:
        said = await asyncio.gather(*(use(task, "ask_below", request=one) for one in "ab"))
        yield TextFinal(message_id="m", text="; ".join(said))

    till = Till()
    agents = (colleague("boss", both, asked=("agent:below",)), agent(below, "below"))
    async with house(tmp_path, till, *agents) as place:
        task = await place.send("boss", "go")
        task = await place.send("boss", "yes", task_id=task.id)
        task = await place.send("boss", "yes", task_id=task.id)
        assert state(task) == "COMPLETED"
        assert sorted(till.noted) == ["a", "b"]
        [said] = texts(task)
        assert said.count("a.txt") == said.count("b.txt") == said.count("done") == 2


async def test_what_a_run_does_not_come_back_to_is_canceled(tmp_path: Path) -> None:
    asked: list[str] = []

    async def other(task: Task) -> Stream:
        asked.append("again")
        request = "a" if len(asked) == 1 else "Paris"
        yield TextFinal(message_id="m", text=await use(task, "ask_below", request=request))

    agents = (colleague("boss", other, asked=("agent:below",)), agent(asking_writer, "below"))
    async with house(tmp_path, Till(), *agents) as place:
        task = await place.send("boss", "go")
        task = await place.send("boss", "Rome", task_id=task.id)
        assert (state(task), texts(task)) == ("COMPLETED", ["Paris it is"])
        states = [row.state for row in await place.log.steps(LOCAL_USER, task.id)]
        assert sorted(states) == ["canceled", "completed"]
        tasks = (await place.log.tasks(LOCAL_USER)).tasks
        assert not [row for row in tasks if row.state == "TASK_STATE_INPUT_REQUIRED"]


@pytest.mark.parametrize("while_asked", [False, True])
async def test_cancelling_cancels_what_waits_below(tmp_path: Path, while_asked: bool) -> None:
    going_on = asyncio.Event()

    async def both(task: Task) -> Stream:
        if while_asked:
            said = await use(task, "ask_below", request="a")
        else:
            said = await asyncio.gather(use(task, "ask_below", request="a"), use(task, "wait"))
        yield TextFinal(message_id="m", text=str(said))

    @tool(trusted=True)
    async def wait() -> str:
        """Wait."""
        going_on.set()
        await asyncio.Event().wait()
        return ""

    made: Any = [wait]
    agents = (colleague("boss", both, asked=("agent:below", "wait")), agent(asking_writer, "below"))
    async with open_house(tmp_path, *agents, tools=made) as place:
        sending = asyncio.create_task(place.send("boss", "go"))
        if while_asked:
            assert state(await sending) == "INPUT_REQUIRED"
        else:
            await going_on.wait()
            while "TASK_STATE_INPUT_REQUIRED" not in {
                row.state for row in (await place.log.tasks(LOCAL_USER)).tasks
            }:
                await asyncio.sleep(0.02)
        roots = [row for row in (await place.log.tasks(LOCAL_USER)).tasks if row.parent_id is None]
        await place.cancel("boss", roots[0].task_id)
        await sending
        states = {row.state for row in (await place.log.tasks(LOCAL_USER)).tasks}
        assert states == {"TASK_STATE_CANCELED"}


async def test_the_record_of_a_call_that_waits_says_so(tmp_path: Path) -> None:
    async with house(tmp_path, Till()) as place:
        task = await place.send("payer", "go")
        task = await place.send("payer", "yes", task_id=task.id)
        calls = [e.body for e in await place.events(task.id) if e.kind == "call"]
        pays = [(c["type"], c.get("error_type")) for c in calls if c["name"] == "pay"]
        assert pays == [
            ("started", None),
            ("finished", "ApprovalNeeded"),
            ("started", None),
            ("finished", None),
        ]
        assert len({c["key"] for c in calls if c["name"] == "pay"}) == 1


def naming(question: str, text: str = "yes") -> list[Part]:
    return [data_part({"type": "input_response", "request_id": question, "answer": text})]


def question(task: Any) -> str:
    [asked] = [one for one in data_parts({"status": to_json(task.status)}) if "prompt" in one]
    return str(asked["request_id"])


async def test_an_answer_that_names_its_question_answers_no_other(tmp_path: Path) -> None:
    async def events(task: Task) -> Stream:
        said = [await use(task, "pay", amount=amount) for amount in (100, 200)]
        yield TextFinal(message_id="m", text=", ".join(said))

    till = Till()
    async with house(tmp_path, till, agent(events)) as place:
        task = await place.send("payer", "go")
        first = question(task)
        task = await place.send("payer", "", parts=naming(first), task_id=task.id)
        assert (state(task), till.paid) == ("INPUT_REQUIRED", [100])
        stale = answering("yes", task.id, first)
        for parts, more in ((naming(first), {}), ([], {"metadata": dict(stale.metadata)})):
            with pytest.raises(UnsupportedOperationError, match="does not ask any more"):
                await place.send("payer", "yes", parts=parts, task_id=task.id, **more)
        assert till.paid == [100]
        assert question(task) != first
        task = await place.send("payer", "", parts=naming(question(task)), task_id=task.id)
        assert (state(task), till.paid) == ("COMPLETED", [100, 200])
