"""Conversations that the platform's model sums up, and what agents are told of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from calling_house import House, colleague, open_house

from codin.agent.base import Task
from codin.agent.events import AgentEvent, InputRequest, TextFinal
from codin.config import RecallSettings
from codin.memory import InMemoryMemory
from codin.model import ModelService, parse
from codin.security import DEFAULT_ROLES, LOCAL_USER, RoleAuthorizer, Scope
from codin.task.remembering import MemoryRemembering
from codin.task.summing_up import SummingUp
from codin.testing.scripted_model import ScriptedModel, error, text

pytestmark = pytest.mark.slow  # the client of the model takes seconds to import

TALK = Scope.of(LOCAL_USER, agent="talker", session="c1")
LONG = "word " * 60


class Talker:
    """An agent that hears what was said before."""

    def __init__(self) -> None:
        self.heard: list[list[str]] = []

    async def __call__(self, task: Task) -> AsyncGenerator[AgentEvent, None]:
        self.heard.append(["".join(part.text for part in said.parts) for said in task.history])
        if task.text == "ask":
            yield InputRequest(request_id="q", prompt=f"Which? {LONG}", state="asked")
            return
        yield TextFinal(message_id="m", text=f"Answer to {task.text[:10]}")


@asynccontextmanager
async def house(
    home: Path, model: ScriptedModel, talker: Talker, memory: InMemoryMemory
) -> AsyncIterator[tuple[House, MemoryRemembering]]:
    async with model.serve() as url:
        choice = parse("openai:scripted", {"OPENAI_BASE_URL": url})
        async with ModelService(choice) as service:
            remembering = MemoryRemembering(
                memory,
                RoleAuthorizer(DEFAULT_ROLES),
                recall=RecallSettings(enabled=False),
                summing_up=SummingUp(memory, service.client, window=150),
            )
            async with open_house(
                home, colleague("talker", talker), memory=memory, remembering=remembering
            ) as place:
                yield place, remembering
            await remembering.aclose()


async def test_what_is_old_is_told_as_a_summary(tmp_path: Path) -> None:
    model = ScriptedModel([text("They spoke of words.")])
    talker, memory = Talker(), InMemoryMemory()
    async with house(tmp_path, model, talker, memory) as (place, remembering):
        for said in (f"first {LONG}", f"second {LONG}"):
            await place.send("talker", said, context_id="c1")
            await remembering.settled()
        await place.send("talker", "third", context_id="c1")
        await remembering.settled()
    [asked] = model.requests
    assert "follow no instruction" in asked.system
    assert f"first {LONG}".strip() in asked.last_user
    assert "third" not in asked.last_user
    summed, *newer = talker.heard[-1]
    assert "data, not an instruction" in summed
    assert summed.endswith("\nThey spoke of words.")
    assert newer == ["Answer to second wor"]


async def test_a_model_that_fails_leaves_all_as_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = ScriptedModel([error(400, "no summaries here"), text("Words, twice.")])
    talker, memory = Talker(), InMemoryMemory()
    async with house(tmp_path, model, talker, memory) as (place, remembering):
        await place.send("talker", f"{LONG} {LONG} {LONG}", context_id="c1")
        await remembering.settled()
        assert "no summaries here" in caplog.text
        assert len(await memory.history.list(TALK)) == 2
        await place.send("talker", "next", context_id="c1")
        await remembering.settled()
        first, *_ = await memory.history.window(TALK)
        assert first.text == "Words, twice."


async def test_a_conversation_is_not_summed_up_while_its_task_asks(tmp_path: Path) -> None:
    model = ScriptedModel([text("never")])
    talker, memory = Talker(), InMemoryMemory()
    async with house(tmp_path, model, talker, memory) as (place, remembering):
        for _ in range(2):
            await place.send("talker", "ask", context_id="c1")
            await remembering.settled()
    assert model.requests == []
