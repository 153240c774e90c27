"""Agents of several frameworks that work with each other, through the gateway; and who called whom,
as the log has it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from a2a_calls import V1
from coordination_place import ADK, AGNO, CREWAI, LANGGRAPH, calls, place, said, source, texts

from codin.security import LOCAL_USER
from codin.testing.scripted_model import RecordedRequest, Turn, hang, text, tool_call

pytestmark = pytest.mark.slow


async def test_a_router_gives_a_message_to_the_agent_that_fits(tmp_path: Path) -> None:
    def script(request: RecordedRequest) -> Turn:
        if "You are the reception" in request.system:
            return text(json.dumps({"agent": "none" if "song" in request.text else "poet"}))
        return text("42 apples" if "You are counter" in request.system else "Roses are red.")

    settings = {
        "agents": [
            source(tmp_path, LANGGRAPH, "counter", "Counts apples and pears in a basket."),
            source(tmp_path, AGNO, "poet", "Writes short poems in any language."),
        ],
        "routers": [{"id": "desk", "agents": ["counter", "poet"]}],
    }
    async with place(tmp_path, script, settings) as there:
        task = await there.send("desk", "How many apples are in the basket?")
        log = await there.log(task)
        assert (task["status"]["state"], texts(task)) == ("TASK_STATE_COMPLETED", ["42 apples"])
        assert said(log, "handoff") == [
            {"type": "handoff", "from_agent": "desk", "to_agent": "counter"}
        ]
        assert calls(log) == [
            ("desk", "route", "counter", "working"),
            ("desk", "route", "counter", "completed"),
        ]
        assert len(there.model.requests) == 1  # the description had decided

        task = await there.send("desk", "Something for my grandmother, please.")
        assert texts(task) == ["Roses are red."]
        assert calls(await there.log(task))[-1] == ("desk", "route", "poet", "completed")

        task = await there.send("desk", "Sing me a song.")
        assert task["status"]["state"] == "TASK_STATE_REJECTED"
        [reason] = task["status"]["message"]["parts"]
        assert "counter (Counts apples" in reason["text"]
        assert "poet (Writes short" in reason["text"]

        card = (await there.http.get("/agents/desk/.well-known/agent-card.json")).json()
        assert card["name"] == "desk"
        assert card["supportedInterfaces"]


async def test_a_hand_off_from_langgraph_to_adk(tmp_path: Path) -> None:
    def script(request: RecordedRequest) -> Turn:
        if "You are front" in request.system:
            assert "transfer_to_billing" in request.tools
            return tool_call("transfer_to_billing", {"note": "customer 7"})
        assert "front notes: customer 7" in request.last_user
        return text("Your invoice is paid.")

    front = source(tmp_path, LANGGRAPH, "front", "Greets.")
    settings = {
        "agents": [
            front | {"hands_off_to": ["billing"]},
            source(tmp_path, ADK, "billing", "Knows all invoices."),
        ],
    }
    async with place(tmp_path, script, settings) as there:
        task = await there.send("front", "Is my invoice paid?", contextId="talk")
        log = await there.log(task)
        assert (task["status"]["state"], task["contextId"]) == ("TASK_STATE_COMPLETED", "talk")
        assert texts(task) == ["Your invoice is paid."]
        assert [one["name"] for one in said(log, "tool_call")] == ["transfer_to_billing"]
        [result] = said(log, "tool_result")
        assert result["content"] == "The conversation goes on with billing."
        assert said(log, "handoff") == [
            {"type": "handoff", "from_agent": "front", "to_agent": "billing"}
        ]
        assert calls(log) == [
            ("front", "handoff", "billing", "working"),
            ("front", "handoff", "billing", "completed"),
        ]
        assert len(there.model.requests) == 2  # who handed off was not asked again
        records = [event.body for event in log if event.kind == "call"]
        assert [(one["type"], one.get("error_type")) for one in records] == [
            ("started", None),
            ("finished", None),
        ]

        def again(request: RecordedRequest) -> Turn:
            if "You are front" in request.system:
                return tool_call("transfer_to_billing")
            assert "Is my invoice paid?" in request.text
            assert "Your invoice is paid." in request.text
            return text("And so is the next.")

        there.model._callable = again
        task = await there.send("front", "And the next?", contextId="talk")
        assert texts(task) == ["And so is the next."]


async def test_a_supervisor_has_a_team_work_at_the_same_time(tmp_path: Path) -> None:
    def script(request: RecordedRequest) -> Turn:
        if "You lead a team" in request.system:
            if "Rome" not in request.messages[-1]["content"]:
                return text(
                    json.dumps(
                        {
                            "calls": [
                                {"agent": "north", "request": "the capital of Norway"},
                                {"agent": "south", "request": "the capital of Italy"},
                            ]
                        }
                    )
                )
            assert "Oslo" in request.messages[-1]["content"]
            return text(json.dumps({"calls": [], "answer": "Oslo and Rome."}))
        return text("Oslo" if "You are north" in request.system else "Rome", delay=0.2)

    settings = {
        "agents": [
            source(tmp_path, LANGGRAPH, "north", "Knows the north."),
            source(tmp_path, ADK, "south", "Knows the south."),
        ],
        "supervisors": [{"id": "boss", "agents": ["north", "south"]}],
    }
    async with place(tmp_path, script, settings) as there:
        task = await there.send("boss", "Two capitals, please.")
        log = await there.log(task)
        assert texts(task)[-1] == "Oslo and Rome."
        found = calls(log)
        assert set(found[:2]) == {
            ("boss", "tool", "north", "working"),
            ("boss", "tool", "south", "working"),
        }
        assert set(found[2:]) == {
            ("boss", "tool", "north", "completed"),
            ("boss", "tool", "south", "completed"),
        }
        assert {one["content"] for one in said(log, "tool_result")} == {"Oslo", "Rome"}


async def test_a_crewai_agent_is_a_tool_of_an_agno_agent(tmp_path: Path) -> None:
    def script(request: RecordedRequest) -> Turn:
        if "You are asker" not in request.system:
            return text("Thought: I now can give a great answer\nFinal Answer: a fine haiku")
        if not request.tool_results:
            return tool_call("ask_poet", {"request": "a haiku about rain"})
        return text(f"The poet says: {request.tool_results[-1]}")

    poet = source(tmp_path, CREWAI, "poet", "Writes poems.")
    settings = {
        "agents": [
            source(tmp_path, AGNO, "asker", "Asks for poems.", ["agent:poet"]),
            poet | {"requirements": ["crewai>=1.15.30"]},
        ],
    }
    async with place(tmp_path, script, settings) as there:
        task = await there.send("asker", "A poem, please.")
        log = await there.log(task)
        assert task["status"]["state"] == "TASK_STATE_COMPLETED", task
        assert "a fine haiku" in texts(task)[-1]
        assert calls(log) == [
            ("asker", "tool", "poet", "working"),
            ("asker", "tool", "poet", "completed"),
        ]
        [child] = {event.body["task_id"] for event in log if event.kind == "child"}
        inner = [event.body["kind"] for event in log if event.kind == "child"]
        assert inner[0] == "task"
        row = await there.platform.log.task(LOCAL_USER, child)
        assert (row.agent_id, row.parent_id, row.goal_id) == ("poet", task["id"], task["id"])


ASKING = """
    from langchain.agents import create_agent
    from langchain_openai import ChatOpenAI
    from langgraph.types import interrupt

    from codin import wrap


    def ask_city() -> str:
        "Ask for the city."
        return interrupt("Which city?")


    def build():
        return create_agent(ChatOpenAI(model="any"), [ask_city], system_prompt="You are {id}.")


    agent = wrap(build, framework="langgraph", id="{id}", description="{does}")
"""


async def test_a_question_goes_through_a_router_and_its_answer_back(tmp_path: Path) -> None:
    def script(request: RecordedRequest) -> Turn:
        if not request.tool_results:
            return tool_call("ask_city")
        return text(f"It is sunny in {request.tool_results[-1]}.")

    settings = {
        "agents": [source(tmp_path, ASKING, "weather", "Tells the weather of today.")],
        "routers": [{"id": "desk", "agents": ["weather"]}],
    }
    async with place(tmp_path, script, settings) as there:
        task = await there.send("desk", "What is the weather today?")
        assert task["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
        assert task["status"]["message"]["parts"][0]["text"] == "Which city?"
        task = await there.send("desk", "Paris", taskId=task["id"])
        assert task["status"]["state"] == "TASK_STATE_COMPLETED"
        assert texts(task)[-1] == "It is sunny in Paris."
        assert calls(await there.log(task))[-1] == ("desk", "route", "weather", "completed")


async def test_cancelling_a_hosted_caller_ends_the_model_of_whom_it_called(tmp_path: Path) -> None:
    def script(request: RecordedRequest) -> Turn:
        if "You are poet" in request.system:
            return hang()
        return tool_call("ask_poet", {"request": "an epic"})

    settings = {
        "agents": [
            source(tmp_path, AGNO, "asker", "Asks for poems.", ["agent:poet"]),
            source(tmp_path, LANGGRAPH, "poet", "Writes poems."),
        ],
    }
    async with place(tmp_path, script, settings) as there:
        sending = asyncio.create_task(there.send("asker", "A poem, please."))
        async with asyncio.timeout(60):
            while len(there.model.requests) < 2:
                await asyncio.sleep(0.02)
            rows = (await there.platform.log.tasks(LOCAL_USER)).tasks
            [root] = [row.task_id for row in rows if row.parent_id is None]
            await there.http.post(f"/agents/asker/tasks/{root}:cancel", json={}, headers=V1)
            task = await sending
            assert task["status"]["state"] == "TASK_STATE_CANCELED"
            while not there.model.requests[1].disconnected:
                await asyncio.sleep(0.02)
        log = await there.log(task)
        assert calls(log)[-1] == ("asker", "tool", "poet", "canceled")
        rows = (await there.platform.log.tasks(LOCAL_USER)).tasks
        assert {row.state for row in rows} == {"TASK_STATE_CANCELED"}


AGENTS = Path(__file__).parents[1] / "agent" / "host" / "agents"
BESIDE: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("graph", "kit", "agnostic", "pydantic_agent", "openai_agent", "maf"), ()
)
APART: dict[str, tuple[str, ...]] = {
    "crew": ("crewai>=1.15.30",),
    "strand": ("strands-agents[openai]>=1.62",),
    "llama": ("llama-index-core>=0.14.25", "llama-index-llms-openai-like>=0.8.1"),
    "auto": ("autogen-agentchat>=0.7.5", "autogen-ext[openai]>=0.7.5"),
    "smol": ("smolagents[openai]>=1.26",),
}


@pytest.mark.parametrize("frameworks", [BESIDE, APART], ids=["beside", "apart"])
async def test_an_agent_of_any_framework_hands_off_and_is_asked_no_more(
    tmp_path: Path, frameworks: dict[str, tuple[str, ...]]
) -> None:
    def script(request: RecordedRequest) -> Turn:
        if "You are billing" in request.system:
            return text("Paid.")
        [transfer] = [name for name in request.tools if name.startswith("transfer_to")]
        return tool_call(transfer, {"note": "customer 7"})

    agents: list[dict[str, Any]] = [
        {
            "source": str(AGENTS / f"{name}.py"),
            "id": name,
            "requirements": requirements,
            "tools": [],
            "hands_off_to": ["billing"],
        }
        for name, requirements in frameworks.items()
    ]
    agents.append(source(tmp_path, LANGGRAPH, "billing", "Knows all invoices."))
    async with place(tmp_path, script, {"agents": agents}) as there:
        for name in (*frameworks, *frameworks):  # its host goes on
            before = len(there.model.requests)
            task = await there.send(name, "Is my invoice paid?")
            log = await there.log(task)
            assert (name, texts(task)) == (name, ["Paid."])
            assert (name, calls(log)[-1]) == (name, (name, "handoff", "billing", "completed"))
            assert len(there.model.requests) - before == 2, name
            [result] = said(log, "tool_result")
            assert result["content"] == "The conversation goes on with billing."


async def test_what_the_team_of_a_supervisor_asks_is_asked_of_the_user(tmp_path: Path) -> None:
    def script(request: RecordedRequest) -> Turn:
        if "You are north" in request.system:
            done = request.tool_results
            return text(f"north: {done[-1]}") if done else tool_call("stamp", {"what": "it"})
        if "You are south" in request.system:
            return text("south: done")
        if len(request.messages) == 2:
            # Another time it would say it in other words.
            words = f"do it, {len(there.model.requests)}"
            work = [{"agent": one, "request": words} for one in ("north", "south")]
            return text(json.dumps({"calls": work, "answer": ""}))
        return text(json.dumps({"calls": [], "answer": request.last_user}))

    (tmp_path / "tools.py").write_text(
        "from codin import tool\n\n@tool\ndef stamp(what: str) -> str:\n"
        '    """Stamp."""\n    return f"{what} is stamped"\n'
    )
    settings = {
        "agents": [
            source(tmp_path, LANGGRAPH, "north", "Stamps.", ["stamp"]),
            source(tmp_path, AGNO, "south", "Looks."),
        ],
        "supervisors": [{"id": "boss", "agents": ["north", "south"]}],
        "tools": [tmp_path / "tools.py"],
        "policies": [{"tool": "stamp", "effect": "ask"}],
    }
    async with place(tmp_path, script, settings) as there:
        task = await there.send("boss", "Have it stamped.")
        assert task["status"]["state"] == "TASK_STATE_INPUT_REQUIRED", task
        prompt = task["status"]["message"]["parts"][0]["text"]
        assert prompt.startswith('north asks: May this call be made?\nstamp {\n  "what": "it"\n}')
        before = len(there.model.requests)
        task = await there.send("boss", "yes", taskId=task["id"], contextId=task["contextId"])
        assert task["status"]["state"] == "TASK_STATE_COMPLETED", task
        assert "it is stamped" in texts(task)[-1]
        assert "south: done" in texts(task)[-1]
        # north's answer, and the supervisor's: all else had been answered.
        assert len(there.model.requests) == before + 2
        assert [call[1:] for call in calls(await there.log(task)) if call[-1] == "completed"] == [
            ("tool", "south", "completed"),
            ("tool", "north", "completed"),
        ]
