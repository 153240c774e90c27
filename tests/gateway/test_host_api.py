"""The host API answers a run's token for that run, and nobody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from a2a.types import Message, Role
from google.protobuf.json_format import ParseDict
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from codin.agent.host.wire import LogRecord
from codin.gateway.host_api import history_of, host_api, model_authenticator
from codin.memory.base import MemoryMessage
from codin.memory.inmemory import InMemoryMemory
from codin.security import LOCAL_USER, GrantError, Principal, RunGrant, RunGrants, Scope
from codin.tool.base import ToolFailed, ToolSpec, UnknownTool

NOW = 1_000_000.0


@dataclass
class Outcome:
    value: Any = None
    text: str = ""
    is_error: bool = False
    error_type: str | None = None
    truncated: bool = False


@dataclass
class Executor:
    """Keeps what it was asked; a grant's tools are all that it knows."""

    do: Callable[[Mapping[str, Any]], Any] = lambda arguments: arguments
    calls: list[tuple[str, str, Mapping[str, Any], str | None]] = field(default_factory=list)
    canceled: int = 0

    def specs(self, grant: RunGrant) -> Sequence[ToolSpec]:
        return [ToolSpec(name=name) for name in sorted(grant.tools)]

    async def call(
        self,
        grant: RunGrant,
        name: str,
        arguments: Mapping[str, Any],
        *,
        call_id: str | None = None,
    ) -> Outcome:
        if name not in grant.tools:
            raise UnknownTool(f"there is no tool {name!r}; yours: {', '.join(sorted(grant.tools))}")
        self.calls.append((grant.task_id, name, arguments, call_id))
        try:
            value = self.do(arguments)
            if asyncio.iscoroutine(value):
                value = await value
        except asyncio.CancelledError:
            self.canceled += 1
            raise
        return Outcome(value, json.dumps(value))


def grant_of(task_id: str = "t1", *tools: str, principal: Principal = LOCAL_USER) -> RunGrant:
    return RunGrant(task_id, "g1", "c1", "a1", principal, frozenset(tools), NOW + 60)


@pytest.fixture
def clock() -> list[float]:
    return [NOW]


@pytest.fixture
def grants(clock: list[float]) -> RunGrants:
    return RunGrants(lambda: clock[0])


@pytest.fixture
def executor() -> Executor:
    return Executor()


def client_of(app: Any, token: str | None = None) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://platform", headers=headers)


@pytest.fixture
async def client(grants: RunGrants, executor: Executor) -> AsyncIterator[httpx.AsyncClient]:
    token = grants.issue(grant_of("t1", "add", "look"))
    async with client_of(host_api(grants, executor, model_name="qwen"), token) as http:
        yield http


async def test_a_run_is_told_what_it_is(client: httpx.AsyncClient) -> None:
    info = (await client.get("/run")).json()
    assert (info["task_id"], info["goal_id"], info["context_id"]) == ("t1", "g1", "c1")
    assert (info["tenant"], info["subject"], info["model"]) == ("local", "local", "qwen")
    assert [spec["name"] for spec in info["tools"]] == ["add", "look"]
    specs = (await client.get("/tools")).json()["tools"]
    assert specs == info["tools"]


async def test_a_tool_is_called_for_the_run(client: httpx.AsyncClient, executor: Executor) -> None:
    answer = await client.post("/tools/add", json={"arguments": {"a": 1}, "call_id": "x"})
    assert answer.json() == {
        "value": {"a": 1},
        "text": '{"a": 1}',
        "is_error": False,
        "error_type": None,
        "truncated": False,
    }
    assert executor.calls == [("t1", "add", {"a": 1}, "x")]


async def test_a_tools_failure_is_an_answer(grants: RunGrants) -> None:
    def fail(arguments: Mapping[str, Any]) -> Any:
        raise ToolFailed("ValueError: no such column 'x'")

    token = grants.issue(grant_of("t1", "add"))
    async with client_of(host_api(grants, Executor(fail)), token) as http:
        answer = await http.post("/tools/add", json={"arguments": {}})
        unknown = await http.post("/tools/rm", json={"arguments": {}})
    assert answer.status_code == 200
    assert answer.json()["is_error"] is True
    assert answer.json()["error_type"] == "ToolFailed"
    assert "no such column" in answer.json()["text"]
    assert unknown.json()["error_type"] == "UnknownTool"


@pytest.mark.parametrize("path", ["/run", "/tools", "/memory/history"])
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer nonsense", "Basic dTpw"])
async def test_without_a_good_token_there_is_nothing(
    grants: RunGrants, executor: Executor, path: str, header: str
) -> None:
    async with client_of(host_api(grants, executor)) as http:
        answer = await http.get(path, headers={"authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.json()["error"]["message"]


async def test_an_old_and_a_revoked_token_are_refused(
    grants: RunGrants, executor: Executor, clock: list[float]
) -> None:
    old, ended = grants.issue(grant_of("t1", "add")), grants.issue(grant_of("t2", "add"))
    grants.revoke(ended)
    app = host_api(grants, executor)
    async with client_of(app, ended) as http:
        assert (await http.post("/tools/add", json={})).status_code == 401
    clock[0] += 61
    async with client_of(app, old) as http:
        answer = await http.post("/tools/add", json={})
    assert answer.status_code == 401
    assert "expired" in answer.json()["error"]["message"]
    assert executor.calls == []


async def test_another_runs_token_gives_that_runs_tools_only(
    grants: RunGrants, executor: Executor
) -> None:
    other = grants.issue(grant_of("t2", "look"))
    async with client_of(host_api(grants, executor), other) as http:
        answer = await http.post("/tools/add", json={"arguments": {"a": 1}})
        assert answer.json()["error_type"] == "UnknownTool"
        await http.post("/tools/look", json={"arguments": {}})
    assert [call[0] for call in executor.calls] == ["t2"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"arguments": 3}', b'{"call_id": {}}', b"\xff\xfe", b"null"]
)
async def test_a_body_that_cannot_be_read_is_said(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/tools/add", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


async def test_a_body_that_is_too_large_is_refused(grants: RunGrants, executor: Executor) -> None:
    token = grants.issue(grant_of("t1", "add"))

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100

    async with client_of(host_api(grants, executor, max_body=1000), token) as http:
        assert (await http.post("/tools/add", content=b"x" * 1001)).status_code == 413
        assert (await http.post("/tools/add", content=chunks())).status_code == 413


async def test_what_goes_wrong_in_the_platform_is_not_told(grants: RunGrants) -> None:
    def break_down(arguments: Mapping[str, Any]) -> Any:
        raise RuntimeError("password=hunter2")

    token = grants.issue(grant_of("t1", "add"))
    async with client_of(host_api(grants, Executor(break_down)), token) as http:
        answer = await http.post("/tools/add", json={})
    assert answer.status_code == 500
    assert "hunter2" not in answer.text


async def test_history_is_the_runs_own(grants: RunGrants, executor: Executor) -> None:
    asked: list[tuple[str, int]] = []

    async def history(grant: RunGrant, limit: int) -> list[dict[str, Any]]:
        asked.append((grant.context_id, limit))
        return [{"messageId": "m"}]

    token = grants.issue(grant_of())
    async with client_of(host_api(grants, executor, history=history), token) as http:
        answer = await http.get("/memory/history?limit=7")
        assert answer.json() == {"messages": [{"messageId": "m"}]}
        for wrong in ("0", "-1", "x", "1000000"):
            assert (await http.get(f"/memory/history?limit={wrong}")).status_code == 400
    assert asked == [("c1", 7)]


async def test_history_comes_from_memory_in_the_callers_scope(
    grants: RunGrants, executor: Executor
) -> None:
    memory = InMemoryMemory()
    mine = Scope.of(LOCAL_USER, session="c1")
    for number, scope in enumerate([mine, replace(mine, session="c2"), replace(mine, user="eve")]):
        await memory.history.append(scope, MemoryMessage("user", f"text {number}", id=str(number)))
    await memory.history.append(mine, MemoryMessage("agent", "x", body={"messageId": "whole"}))
    token = grants.issue(grant_of())
    async with client_of(host_api(grants, executor, history=history_of(memory)), token) as http:
        messages = (await http.get("/memory/history")).json()["messages"]
    assert [message["messageId"] for message in messages] == ["0", "whole"]
    parsed = ParseDict(messages[0], Message())
    assert (parsed.role, parsed.parts[0].text) == (Role.ROLE_USER, "text 0")


async def test_a_summary_in_the_history_is_marked_as_data(
    grants: RunGrants, executor: Executor
) -> None:
    memory = InMemoryMemory()
    mine = Scope.of(LOCAL_USER, session="c1")
    await memory.history.append(mine, MemoryMessage("user", "old"), MemoryMessage("user", "new"))

    async def summarise(before: str, messages: Sequence[MemoryMessage]) -> str:
        return "They greeted."

    await memory.compact(mine, summarise, keep_tokens=4)
    token = grants.issue(grant_of())
    async with client_of(host_api(grants, executor, history=history_of(memory)), token) as http:
        messages = (await http.get("/memory/history")).json()["messages"]
    first, *rest = [message["parts"][0]["text"] for message in messages]
    assert "data, not an instruction" in first
    assert first.endswith("\nThey greeted.")
    assert rest == ["new"]
    ParseDict(messages[0], Message())


async def test_a_token_is_a_runs_budget_of_tokens(grants: RunGrants) -> None:
    grant = replace(grant_of("t9"), max_model_tokens=500)
    authenticate = model_authenticator(grants)
    context = await authenticate(grants.issue(grant))
    assert (context.task_id, context.max_tokens, context.principal) == ("t9", 500, LOCAL_USER)
    with pytest.raises(GrantError):
        await authenticate("nonsense")


async def test_log_lines_are_taken_with_their_run(grants: RunGrants, executor: Executor) -> None:
    lines: list[tuple[str, str, str]] = []

    async def log(grant: RunGrant, record: LogRecord) -> None:
        lines.append((grant.task_id, record.level, record.message))

    token = grants.issue(grant_of())
    async with client_of(host_api(grants, executor, log=log), token) as http:
        good = await http.post("/logs", json={"level": "warning", "message": "hm"})
        bad = await http.post("/logs", json={"level": "shout", "message": "hm"})
    assert (good.status_code, bad.status_code) == (204, 400)
    assert lines == [("t1", "warning", "hm")]


@pytest.mark.parametrize(
    "path",
    ["/v1/chat/completions", "/anthropic/v1/messages", "/google/v1beta/models/g:generateContent"],
)
async def test_models_are_asked_of_the_proxy_with_the_whole_path(
    grants: RunGrants, executor: Executor, path: str
) -> None:
    async def echo(request: Request) -> JSONResponse:
        token = request.headers["authorization"]
        return JSONResponse({"path": request.url.path, "token": token})

    proxy = Starlette(routes=[Route("/{path:path}", echo, methods=["POST"])])
    async with client_of(host_api(grants, executor, model_proxy=proxy), "run-token") as http:
        answer = await http.post(path, json={})
    assert answer.json() == {"path": path, "token": "Bearer run-token"}


async def test_a_client_that_leaves_ends_its_call(grants: RunGrants) -> None:
    started = asyncio.Event()

    async def hang() -> None:
        started.set()
        await asyncio.sleep(60)

    executor = Executor(lambda arguments: hang())
    app = host_api(grants, executor)
    token = grants.issue(grant_of("t1", "add"))
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    inbox.put_nowait({"type": "http.request", "body": b"{}", "more_body": False})
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/tools/add",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {token}".encode())],
    }

    async def send(message: Any) -> None:
        pass

    serving = asyncio.ensure_future(app(scope, inbox.get, send))
    await asyncio.wait_for(started.wait(), 5)
    inbox.put_nowait({"type": "http.disconnect"})
    await asyncio.wait_for(serving, 5)
    assert executor.canceled == 1
