"""The desk of the examples, with a model whose words are known beforehand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codin.agent.a2a import user_message
from codin.config import load_settings
from codin.gateway.opening import open_platform
from codin.gateway.platform import Platform
from codin.model import parse
from codin.security import LOCAL_USER
from codin.task import TaskProjection, in_memory_client
from codin.testing.scripted_model import RecordedRequest, ScriptedModel, Turn, text, tool_call

pytestmark = pytest.mark.slow

DESK = Path(__file__).parents[2] / "examples" / "desk" / "codin.toml"


def script(request: RecordedRequest) -> Turn:
    if "You lead a team" in request.system:
        if "The results" in request.messages[-1]["content"]:
            return text(json.dumps({"calls": [], "answer": "It is settled."}))
        work = {"agent": "letters", "request": "a letter about invoice 7"}
        return text(json.dumps({"calls": [work]}))
    if "when the shop is open" in request.system:
        return tool_call("transfer_to_billing")
    if "questions about invoices" in request.system:
        if not request.tool_results:
            return tool_call("invoice", {"number": 7})
        assert "paid on the 3rd of March" in request.tool_results[-1]
        return text("Invoice 7 is paid.")
    assert "kind letters" in request.system
    if not request.tool_results:
        return tool_call("ask_billing", {"request": "Is invoice 7 paid?"})
    return text(f"Dear customer, {request.tool_results[-1]}")


async def answer(platform: Platform, agent: str, words: str) -> str:
    from a2a.types import SendMessageRequest

    handler = platform.manager.agent_handler(LOCAL_USER, agent)
    client = in_memory_client(handler, LOCAL_USER)
    task_id = ""
    async for response in client.send_message(SendMessageRequest(message=user_message(words))):
        task_id = task_id or response.task.id
    task = TaskProjection(await platform.log.read(LOCAL_USER, task_id, 0, 10_000)).task()
    return task.artifacts[-1].parts[0].text


async def test_the_desk_settles_it_in_each_of_its_ways(tmp_path: Path) -> None:
    model = ScriptedModel(script)
    async with model.serve() as url:
        choice = parse("openai:scripted", {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"})
        async with open_platform(load_settings(DESK, home=tmp_path), choice) as platform:
            assert platform.problems == ()
            paid = "Invoice 7 is paid."
            assert await answer(platform, "desk", "Is the invoice 7 open or paid?") == paid
            assert await answer(platform, "hours", "Is invoice 7 paid?") == paid
            assert (
                await answer(platform, "letters", "Write of invoice 7.") == f"Dear customer, {paid}"
            )
            assert await answer(platform, "manager", "Settle the case of 7.") == "It is settled."
