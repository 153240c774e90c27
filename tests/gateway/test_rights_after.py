"""What a task may do that goes on after its process ended: no more than when it was begun, and no
more than the key with which it was begun gives now."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from a2a_calls import V1, message, rpc

from codin.agent.base import Task
from codin.agent.events import AgentEvent, TextFinal
from codin.agent.planning.plan import Plan, Step
from codin.agent.planning.planner import Planner, PlanRequest
from codin.database import FILE_NAME, SqliteDatabase
from codin.security import KeyRequest, Principal, SecurityStore
from codin.testing.serving import ScriptedAgent, Served, serve_agents

pytestmark = pytest.mark.slow

BOSS = Principal("acme", "boss", frozenset({"owner"}))


class OneStep(Planner):
    """Hands the goal on to the one agent."""

    async def plan(self, request: PlanRequest) -> Plan:
        return Plan(goal=request.goal, steps=(Step(id="1", agent="slow", instruction="do it"),))


class Floor:
    """An agent that works until its gateway is stopped, and says at the next what it may do."""

    def __init__(self) -> None:
        self.begun = 0
        self.go = asyncio.Event()

    async def act(self, task: Task) -> AsyncGenerator[AgentEvent, None]:
        self.begun += 1
        await self.go.wait()
        may = sorted(task.principal.roles), sorted(task.principal.scopes)
        yield TextFinal(message_id="m", text=json.dumps(may))

    @asynccontextmanager
    async def gateway(self, home: Path, security: SecurityStore) -> AsyncIterator[Served]:
        agent = ScriptedAgent("slow", self.act)
        async with serve_agents(home / "gateway", [agent], OneStep(), security=security) as served:
            yield served
            await served.manager.aclose(hand_over=True)

    async def until_begun(self, count: int) -> None:
        async with asyncio.timeout(20):
            while self.begun < count:
                await asyncio.sleep(0.01)


@pytest.fixture
async def security(tmp_path: Path) -> AsyncIterator[SecurityStore]:
    store = SecurityStore(tmp_path / "home")
    yield store
    await store.close()


class Caller:
    """Who calls a gateway with a key."""

    def __init__(self, served: Served, text: str, agent: str = "") -> None:
        headers = V1 | {"authorization": f"Bearer {text}"}
        self._http = httpx.AsyncClient(base_url=served.url, headers=headers, trust_env=False)
        self._path = f"/agents/{agent}/" if agent else "/"

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        async with self._http as http:
            answer = (await http.post(self._path, json=rpc(method, params))).json()
        result: dict[str, Any] = answer["result"]
        return result


async def begin(served: Served, text: str, agent: str = "") -> str:
    params = {"message": message("go"), "configuration": {"returnImmediately": True}}
    return str((await Caller(served, text, agent).call("SendMessage", **params))["task"]["id"])


async def ended(served: Served, text: str, task_id: str, agent: str = "") -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            task = await Caller(served, text, agent).call("GetTask", id=task_id)
            if task["status"]["state"] in {"TASK_STATE_COMPLETED", "TASK_STATE_FAILED"}:
                return task
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("agent", ["slow", ""], ids=["agent", "goal"])
async def test_what_was_begun_with_a_revoked_key_ends(
    tmp_path: Path, security: SecurityStore, agent: str
) -> None:
    request = KeyRequest("robot", frozenset({"owner"}))
    revoked, text = await security.keys.add(BOSS, request)
    _, other = await security.keys.add(BOSS, request)
    floor = Floor()
    async with floor.gateway(tmp_path, security) as served:
        task_id = await begin(served, text, agent)
        await floor.until_begun(1)
    await security.keys.revoke(BOSS, revoked.id)
    floor.go.set()
    async with floor.gateway(tmp_path, security) as served:
        task = await ended(served, other, task_id, agent)
    assert task["status"]["state"] == "TASK_STATE_FAILED"
    said = str(task["status"]["message"])
    assert "was begun with a credential that is good no more" in said
    assert f"the API key {revoked.id} has been revoked" in said
    assert floor.begun == 1


async def test_a_role_that_was_taken_away_is_not_given_back(
    tmp_path: Path, security: SecurityStore
) -> None:
    roles, scopes = frozenset({"owner", "user"}), frozenset({"agent.use:*", "task.*"})
    key, text = await security.keys.add(BOSS, KeyRequest("robot", roles, scopes))
    floor = Floor()
    async with floor.gateway(tmp_path, security) as served:
        task_id = await begin(served, text, "slow")
        await floor.until_begun(1)
    # no command changes a key; whoever has the database can
    async with SqliteDatabase(tmp_path / "home" / FILE_NAME) as database:
        await database.write(
            lambda connection: (
                connection.execute(
                    "UPDATE api_key SET roles = ?, scopes = ? WHERE id = ?",
                    (
                        json.dumps(["admin", "user"]),
                        json.dumps(["task.*", "agent.use:slow"]),
                        key.id,
                    ),
                ).rowcount
            )
        )
    floor.go.set()
    async with floor.gateway(tmp_path, security) as served:
        events = await served.log.read(Principal("acme", "robot"), task_id)
        await floor.until_begun(2)
        async with asyncio.timeout(20):
            while '[["user"], ["agent.use:slow", "task.*"]]' not in str(
                events := await served.log.read(Principal("acme", "robot"), task_id)
            ):
                await asyncio.sleep(0.05)
    begun = [event.body for event in events if event.kind == "begun"]
    assert [one["roles"] for one in begun] == [["owner", "user"], ["user"]], "nor later"
