"""Calls that have to be approved: the task waits, and its run is made again with the answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from calling_house import Colleague, House, colleague, open_house, reason, state, texts

from codin.agent.base import Task
from codin.agent.events import AgentEvent, TextFinal, ToolCall, ToolResult
from codin.memory import InMemoryMemory
from codin.tool.base import ToolError
from codin.tool.function import FunctionTool, tool
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
