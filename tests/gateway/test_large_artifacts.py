"""What agents make that is large, as clients get it: whole up to a bound, then by its address."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from a2a.types import GetTaskRequest, SendMessageRequest, Task

from codin.agent.a2a import user_message
from codin.agent.base import Task as AgentTask
from codin.agent.events import AgentEvent, ArtifactProduced, Completed, TextFinal
from codin.agent.planning.plan import Plan
from codin.agent.planning.planner import PlanRequest
from codin.agent.planning.step import Step
from codin.security import LOCAL_USER
from codin.task.transport import in_memory_client
from codin.task.work import ParentTask
from codin.testing.serving import ScriptedAgent, Served, serve_agents
from codin.testing.tasks import call_context

pytestmark = pytest.mark.slow

RAW = bytes(range(256)) * 1000
TEXT = "a long line, and another\n" * 4000
BOUND = 150_000


async def make(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
    yield ArtifactProduced(artifact_id="f", name="f.png", media_type="image/png", raw=RAW)
    yield ArtifactProduced(artifact_id="d", name="d.json", data={"rows": [TEXT]})
    yield TextFinal(message_id="m", text=TEXT)
    yield Completed()


class OnePlan:
    async def plan(self, request: PlanRequest) -> Plan:
        return Plan(goal=request.goal, steps=(Step(id="s", agent="maker", instruction="make"),))


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    agents = [ScriptedAgent("maker", make)]
    async with serve_agents(tmp_path, agents, OnePlan(), inline_bytes=BOUND) as served:
        yield served


@pytest.fixture
async def http(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.url, trust_env=False, timeout=20) as client:
        yield client


def look_right(task: Task) -> None:
    """The smaller ones are whole, and of the larger one is said where it is."""
    by_id = {artifact.artifact_id: artifact.parts[0] for artifact in task.artifacts}
    assert by_id["text-m"].text == TEXT
    assert by_id["d"].data.struct_value["rows"][0] == TEXT
    part = by_id["f"]
    digest = hashlib.sha256(RAW).hexdigest()
    assert part.url == f"http://codin.test/api/artifacts/{digest}"
    assert (part.media_type, part.filename) == ("image/png", "f.png")
    assert part.metadata["codin"]["size"] == len(RAW)


async def test_every_way_to_read_a_task_gives_the_same(served: Served) -> None:
    handler = served.manager.agent_handler(LOCAL_USER, "maker")
    request = SendMessageRequest(message=user_message("make"))
    task = await handler.on_message_send(request, call_context())
    assert isinstance(task, Task)
    look_right(task)
    found = await handler.on_get_task(GetTaskRequest(id=task.id), call_context())
    assert found is not None
    look_right(found)
    request = SendMessageRequest(message=user_message("make"))
    streamed = Task()
    async for event in handler.on_message_send_stream(request, call_context()):
        if hasattr(event, "artifact"):
            streamed.artifacts.append(event.artifact)
    look_right(streamed)


async def test_a_step_has_all_of_it(served: Served) -> None:
    handler = served.manager.agent_handler(LOCAL_USER, "maker")
    outer = await handler.on_message_send(
        SendMessageRequest(message=user_message("make")), call_context()
    )
    assert isinstance(outer, Task)
    client = in_memory_client(handler, LOCAL_USER, ParentTask(outer.id, outer.id))
    raw = [
        response.artifact_update.artifact.parts[0].raw
        async for response in client.send_message(SendMessageRequest(message=user_message("make")))
        if response.artifact_update.artifact.artifact_id == "f"
    ]
    assert raw == [RAW]
    for_step = await client.get_task(GetTaskRequest(id=outer.id))
    assert [a.parts[0].raw for a in for_step.artifacts if a.artifact_id == "f"] == [RAW]


async def test_the_address_gives_it_as_a_download(http: httpx.AsyncClient) -> None:
    begun = await http.post("/api/goals", json={"goal": "make it"})
    task_id = begun.json()["task_id"]
    async with http.stream("GET", f"/api/tasks/{task_id}/events") as stream:
        told = "".join([line async for line in stream.aiter_lines()])
    digest = hashlib.sha256(RAW).hexdigest()
    assert f"/api/artifacts/{digest}" in told
    answer = await http.get(urlsplit(f"http://codin.test/api/artifacts/{digest}").path)
    assert (answer.status_code, answer.content) == (200, RAW)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"].startswith('attachment; filename="f.png"')
    assert "sandbox" in answer.headers["content-security-policy"]
    text = await http.get(f"/api/artifacts/{hashlib.sha256(TEXT.encode()).hexdigest()}")
    assert (text.text, text.headers["content-type"]) == (TEXT, "text/plain; charset=utf-8")
    for name in ("0" * 64, "f.png", "..%2F..%2Fcodin.db"):
        answer = await http.get(f"/api/artifacts/{name}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_the_log_has_none_of_it(served: Served, tmp_path: Path) -> None:
    handler = served.manager.handler
    request = SendMessageRequest(message=user_message("make it"))
    task = await handler.on_message_send(request, call_context())
    assert isinstance(task, Task)
    assert TEXT.strip() in {part.text for a in task.artifacts for part in a.parts}
    await served.log.close()
    written = sum(file.stat().st_size for file in tmp_path.glob("codin.db*") if file.is_file())
    assert written < len(TEXT) + len(RAW)
    contents = [file for file in (tmp_path / "codin.db-artifacts").rglob("*") if file.is_file()]
    assert len([file for file in contents if not file.name.startswith(".")]) == 4
