"""Memory through the whole platform: what an agent in a host is told, and what settings say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from a2a.types import SendMessageRequest

from codin.agent.a2a import user_message
from codin.config import AgentEntry, MemorySettings, RecallSettings, Settings
from codin.gateway.opening import open_platform
from codin.gateway.platform import Platform
from codin.model import UnknownModel, parse
from codin.security import LOCAL_USER, Principal, Scope
from codin.task.transport import in_memory_client

pytestmark = pytest.mark.slow

HEARS = """
from codin import wrap
from codin.agent import Task

async def hears(task: Task) -> str:
    past = ["".join(part.text for part in said.parts) for said in task.history]
    return f"asked: {task.text} | told: {past} | metadata: {dict(task.message.metadata)}"

agent = wrap(hears, id="hears", description="Says what it was told.")
"""
NO_MODEL = parse("openai:none", {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
MINE = Scope.of(LOCAL_USER)


def settings(home: Path, isolation: str = "host", **memory: Any) -> Settings:
    file = home / "hears.py"
    file.write_text(HEARS)
    entry = AgentEntry.model_validate({"source": str(file), "isolation": isolation})
    return Settings(home=home / "home", agents=(entry,), memory=MemorySettings(**memory))


async def say(
    platform: Platform,
    text: str,
    context_id: str,
    agent: str = "hears",
    who: Principal = LOCAL_USER,
) -> str:
    client = in_memory_client(platform.manager.agent_handler(who, agent), who)
    request = SendMessageRequest(message=user_message(text, context_id=context_id))
    said = ""
    async for response in client.send_message(request):
        if response.HasField("artifact_update"):
            said += "".join(part.text for part in response.artifact_update.artifact.parts)
    return said


@pytest.mark.parametrize("isolation", ["host", "process"])
async def test_an_agent_is_told_what_another_conversation_came_to(
    tmp_path: Path, isolation: str
) -> None:
    given = settings(tmp_path, isolation, embedder="hashing")
    async with open_platform(given, NO_MODEL) as platform:
        await say(platform, "I am allergic to peanuts and to walnuts.", "c1")
    # In another process, as far as memory knows.
    async with open_platform(given, NO_MODEL) as platform:
        assert platform.problems == ()
        assert (await platform.memory.contents(MINE)).chunks == 1
        said = await say(platform, "May I eat peanuts or walnuts?", "c2")
        assert said.startswith("asked: May I eat peanuts or walnuts? | told: ['What is remembered")
        assert "I am allergic to peanuts" in said
    off = settings(tmp_path, isolation, embedder="hashing", recall=RecallSettings(enabled=False))
    async with open_platform(off, NO_MODEL) as platform:
        said = await say(platform, "May I eat peanuts or walnuts?", "c3")
        assert "told: []" in said


COUNTS = """
from codin import wrap
from codin.agent import Task

async def counts(task: Task) -> str:
    memory, own = task.memory.system, task.memory.scope
    note = await memory.notes.get(own, "visits")
    visits = 1 + (note.value if note else 0)
    await memory.notes.put(own, "visits", visits)
    return f"{own.user} was here {visits} times"

agent = wrap(counts, id="counts", description="Counts visits.")
"""


async def test_an_agent_in_a_host_remembers_its_callers_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "counts.py"
    file.write_text(COUNTS)
    given = Settings(home=tmp_path / "home", agents=(AgentEntry(source=str(file)),))
    ben = replace(LOCAL_USER, subject="ben")
    for visits in (1, 2):
        async with open_platform(given, NO_MODEL) as platform:
            said = await say(platform, "hello", f"c{visits}", "counts")
            assert said == f"local was here {visits} times"
    async with open_platform(given, NO_MODEL) as platform:
        assert await say(platform, "hello", "c3", "counts", ben) == "ben was here 1 times"
        assert (await platform.memory.notes.get(replace(MINE, agent="counts"), "visits")).value == 2


async def test_an_embedder_that_cannot_be_had_is_told_and_words_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    given = settings(tmp_path, "process", embedder="openai:text-embedding-3-small")
    async with open_platform(given, NO_MODEL) as platform:
        [problem] = platform.problems
        assert problem.source == "memory"
        assert "by their words only" in problem.message
        assert "OPENAI_API_KEY" in problem.message
        await say(platform, "I am allergic to peanuts and to walnuts.", "c1")
    async with open_platform(given, NO_MODEL) as platform:
        assert "allergic" in await say(platform, "May I eat peanuts or walnuts?", "c2")


async def test_an_embedder_that_there_is_not_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match=r"memory\.embedder: 'word2vec' names no embedder"):
        async with open_platform(settings(tmp_path, embedder="word2vec"), NO_MODEL):
            pass
