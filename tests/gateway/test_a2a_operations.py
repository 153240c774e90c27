"""What the operations promise beside their answers, over both HTTP bindings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from a2a_calls import ASKER, BINDINGS, COUNTER, V1, code_of, message, rpc

from codin.agent.base import AgentInfo
from codin.testing.serving import ScriptedAgent, serve_agents
from codin.testing.team import FixedPlanner

pytestmark = pytest.mark.slow

URI = "urn:example:required:v1"

_PATHS = {
    "SendMessage": ("POST", "/message:send"),
    "SendStreamingMessage": ("POST", "/message:stream"),
    "GetTask": ("GET", "/tasks/{id}"),
    "ListTasks": ("GET", "/tasks"),
    "CancelTask": ("POST", "/tasks/{id}:cancel"),
    "SubscribeToTask": ("POST", "/tasks/{id}:subscribe"),
    "GetExtendedAgentCard": ("GET", "/extendedAgentCard"),
}


class Strict(ScriptedAgent):
    @property
    def info(self) -> AgentInfo:
        return AgentInfo(self.id, self.id, "requires an extension", required_extensions=(URI,))


@dataclass
class Asking:
    """Asks the same over the one or the other binding."""

    http: httpx.AsyncClient
    binding: str
    agent: str = "counter"

    async def __call__(
        self, method: str, params: dict[str, Any], tenant: str = "", **headers: str
    ) -> httpx.Response:
        sent = V1 | headers
        base = f"/agents/{self.agent}"
        if self.binding == "rpc":
            params = {**params, "tenant": tenant} if tenant else params
            return await self.http.post(base, json=rpc(method, params), headers=sent)
        verb, path = _PATHS[method]
        rest = {name: value for name, value in params.items() if f"{{{name}}}" not in path}
        path = base + (f"/{tenant}" if tenant else "") + path.format(**params)
        if verb == "GET":
            return await self.http.get(path, params=rest, headers=sent)
        return await self.http.post(path, json=rest, headers=sent)

    async def result(self, method: str, params: dict[str, Any], **headers: str) -> dict[str, Any]:
        answer = await self(method, params, **headers)
        found = answer.json()
        assert "error" not in found, found
        result: dict[str, Any] = found.get("result", found)
        return result

    async def send(self, text: str, configuration: Any = None, **more: Any) -> dict[str, Any]:
        params = {"message": message(text, **more)}
        if configuration is not None:
            params["configuration"] = configuration
        task: dict[str, Any] = (await self.result("SendMessage", params))["task"]
        return task


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    agents = [COUNTER, ASKER, Strict("strict", COUNTER.events)]
    async with (
        serve_agents(tmp_path, agents, FixedPlanner()) as served,
        httpx.AsyncClient(base_url=served.url, trust_env=False, timeout=20) as http,
    ):
        yield http


@pytest.fixture(params=BINDINGS)
def ask(http: httpx.AsyncClient, request: pytest.FixtureRequest) -> Asking:
    return Asking(http, request.param)


async def test_the_version(ask: Asking) -> None:
    for version, wanted in {
        "1.0": 0,
        "1.0.1": 0,
        "1.1": 1,
        "2.0": 1,
        "99.0": 1,
        "one": 1,
        "0.3": 1,
        "": 1,
    }.items():
        code = await code_of(await ask("ListTasks", {}, **{"A2A-Version": version}))
        assert code == (wanted and {"rpc": -32009, "rest": "VERSION_NOT_SUPPORTED"}[ask.binding])


async def test_the_version_by_query(http: httpx.AsyncClient) -> None:
    assert (await http.get("/agents/counter/tasks?A2A-Version=1.0")).status_code == 200
    # a header goes before the query, which others may have put into a link
    wrong = await http.get("/agents/counter/tasks?A2A-Version=1.0", headers={"A2A-Version": "9.0"})
    assert wrong.status_code == 400


async def test_a_context_is_inferred_and_a_wrong_one_refused(http: httpx.AsyncClient) -> None:
    for binding in BINDINGS:
        ask = Asking(http, binding, "asker")
        task = await ask.send("order", contextId=f"mine-{binding}")
        assert task["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
        wrong = {"message": message("three", taskId=task["id"], contextId="other")}
        assert await code_of(await ask("SendMessage", wrong)) in {-32602, "INVALID_PARAMS"}
        ended = await ask.send("three", taskId=task["id"])
        assert ended["contextId"] == f"mine-{binding}"
        assert {one["contextId"] for one in ended["history"]} == {f"mine-{binding}"}
        unknown = {"message": message("three", taskId="nope")}
        assert await code_of(await ask("SendMessage", unknown)) in {-32001, "TASK_NOT_FOUND"}
        late = {"message": message("four", taskId=task["id"])}
        assert await code_of(await ask("SendMessage", late)) in {-32004, "UNSUPPORTED_OPERATION"}


async def test_who_does_not_wait_gets_the_task_at_once(ask: Asking) -> None:
    task = await ask.send("200", {"returnImmediately": True})
    assert task["status"]["state"] in {"TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"}
    canceled = await ask.result("CancelTask", {"id": task["id"]})
    assert canceled["status"]["state"] == "TASK_STATE_CANCELED"
    again = await ask("CancelTask", {"id": task["id"]})
    assert await code_of(again) in {-32002, "TASK_NOT_CANCELABLE"}


async def test_history_is_as_long_as_asked(ask: Asking) -> None:
    ask.agent = "asker"
    task = await ask.send("order")
    await ask.send("three", taskId=task["id"])
    for length, wanted in ((None, 3), (0, 0), (1, 1), (2, 2), (50, 3)):
        asked = {} if length is None else {"historyLength": length}
        found = await ask.result("GetTask", {"id": task["id"], **asked})
        assert len(found.get("history", [])) == wanted
    for bad in (-1, "x"):
        answer = await ask("GetTask", {"id": task["id"], "historyLength": bad})
        assert await code_of(answer) in {-32602, "INVALID_PARAMS"}
    short = await ask.send("1", {"historyLength": 0})
    assert "history" not in short


async def test_pages_stay_as_they_are_while_tasks_are_added(ask: Asking) -> None:
    made = [(await ask.send("0"))["id"] for _ in range(7)]
    listed: list[str] = []
    token = ""
    while True:
        page = await ask.result("ListTasks", {"pageSize": 2, "pageToken": token})
        listed += [task["id"] for task in page["tasks"]]
        assert (page["pageSize"], page["totalSize"] >= 7) == (2, True)
        token = page["nextPageToken"]
        if not token:
            break
        await ask.send("0")  # newer than all that is still to come
    assert listed == made[::-1]


async def test_a_list_is_narrowed_as_asked(ask: Asking) -> None:
    mine = await ask.send("0", contextId="c1")
    await ask.send("0", contextId="c2")
    assert len((await ask.result("ListTasks", {"contextId": "c1"}))["tasks"]) == 1
    done = await ask.result("ListTasks", {"status": "TASK_STATE_COMPLETED"})
    assert done["totalSize"] == 2
    assert all("artifacts" not in task for task in done["tasks"])
    yes = "true" if ask.binding == "rest" else True
    full = await ask.result("ListTasks", {"includeArtifacts": yes})
    assert all(task["artifacts"] for task in full["tasks"])
    stamp = mine["status"]["timestamp"]
    assert (await ask.result("ListTasks", {"statusTimestampAfter": stamp}))["totalSize"] == 2
    none = await ask.result("ListTasks", {"statusTimestampAfter": "2100-01-01T00:00:00Z"})
    assert (none["tasks"], none["nextPageToken"], none["totalSize"]) == ([], "", 0)
    for bad in (
        {"pageSize": 0},
        {"pageSize": 101},
        {"pageSize": "many"},
        {"status": "TASK_STATE_BORED"},
        {"pageToken": "nonsense"},
        {"statusTimestampAfter": "yesterday"},
        {"historyLength": -1},
    ):
        assert await code_of(await ask("ListTasks", bad)) in {-32602, "INVALID_PARAMS"}, bad


async def test_only_what_the_agent_reads_is_taken(ask: Asking) -> None:
    readable = [
        {"text": "1"},
        {"text": "1", "mediaType": "text/markdown; charset=utf-8"},
        {"data": {"a": 1}},
    ]
    unreadable = [
        {"text": "1", "mediaType": "application/x-unknown"},
        {"raw": "AAAA", "mediaType": "image/png"},
        {"raw": "AAAA"},
        {"url": "https://example.com/a.png", "mediaType": "image/png"},
    ]
    for part in readable:
        said = {"message": {**message(""), "parts": [{"text": "1"}, part]}}
        assert await code_of(await ask("SendMessage", said)) == 0, part
    before = (await ask.result("ListTasks", {}))["totalSize"]
    for method in ("SendMessage", "SendStreamingMessage"):
        for part in unreadable:
            said = {"message": {**message(""), "parts": [{"text": "1"}, part]}}
            code = await code_of(await ask(method, said))
            assert code in {-32005, "CONTENT_TYPE_NOT_SUPPORTED"}, part
    assert (await ask.result("ListTasks", {}))["totalSize"] == before


async def test_a_required_extension_has_to_be_named(ask: Asking) -> None:
    ask.agent = "strict"
    said = {"message": message("1")}
    for method, params in (
        ("SendMessage", said),
        ("SendStreamingMessage", said),
        ("GetTask", {"id": "nope"}),
        ("ListTasks", {}),
        ("CancelTask", {"id": "nope"}),
        ("SubscribeToTask", {"id": "nope"}),
        ("GetExtendedAgentCard", {}),
    ):
        code = await code_of(await ask(method, params))
        assert code in {-32008, "EXTENSION_SUPPORT_REQUIRED"}, method
    answer = await ask("SendMessage", said, **{"A2A-Extensions": f"urn:other , {URI}"})
    assert await code_of(answer) == 0
    if ask.binding == "rest":
        assert answer.headers["a2a-extensions"] == URI


async def test_a_tenant_is_the_callers_own_or_none(ask: Asking) -> None:
    task = await ask.send("1")
    found = await ask("GetTask", {"id": task["id"]}, tenant="local")
    assert await code_of(found) == 0
    other = await ask("GetTask", {"id": task["id"]}, tenant="acme")
    if ask.binding == "rpc":
        assert await code_of(other) == -32602
    else:
        assert other.status_code == 404


async def test_http_json_has_its_own_ways(http: httpx.AsyncClient) -> None:
    ask = Asking(http, "rest")
    task = await ask.send("1")
    path = "/agents/counter/tasks"
    plain = await http.post(
        "/agents/counter/message:send", json={"message": message("1")}, headers=V1
    )
    assert plain.headers["content-type"] == "application/json"
    current = await http.get(f"{path}/{task['id']}", headers=V1)
    assert current.headers["content-type"] == "application/a2a+json"
    named = await http.get(f"{path}?status=completed", headers=V1)
    assert named.json()["totalSize"] == 2
    assert (await http.get(f"{path}?includeArtifacts=maybe", headers=V1)).status_code == 400
    text = {"content-type": "text/plain"}
    wrong = await http.post("/agents/counter/message:send", content=b"hi", headers=V1 | text)
    assert wrong.status_code == 415
    assert wrong.json()["error"]["details"][0]["reason"] == "CONTENT_TYPE_NOT_SUPPORTED"
    unknown = await http.get(f"{path}/nope", headers=V1)
    assert (unknown.status_code, unknown.json()["error"]["status"]) == (404, "NOT_FOUND")
    assert (await http.put(f"{path}/nope", headers=V1)).status_code == 405
    for verb in ("GET", "POST"):
        gone = await http.request(verb, f"{path}/{task['id']}:subscribe", headers=V1)
        assert gone.json()["error"]["details"][0]["reason"] == "UNSUPPORTED_OPERATION"


async def test_ids_are_no_code(ask: Asking) -> None:
    for name in ("' OR 1=1 --", "..%2F..%2Fetc", "%00", "é" * 100, "x" * 5000, "a b"):
        params = {"id": name}
        answer = await ask("GetTask", params)
        assert answer.status_code in {200, 400, 404}, name
        if ask.binding == "rpc":
            assert await code_of(answer) in {-32001, -32602}
    weird = {"message": message("1", contextId="a\u0000b")}
    assert await code_of(await ask("SendMessage", weird)) in {-32602, "INVALID_PARAMS"}
