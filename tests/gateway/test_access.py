"""Who may do what at a gateway that asks: every operation, over every binding."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from a2a.types import AgentCard
from a2a.types.a2a_pb2_grpc import A2AServiceStub
from a2a_calls import COUNTER, V1, message, rpc
from google.protobuf.json_format import MessageToDict, ParseDict
from joserfc.jwk import KeySet

from codin.gateway.a2a.operations import OPERATIONS
from codin.gateway.grpc import GrpcServer
from codin.security import CardVerifier, KeyRequest, Principal, SecurityStore
from codin.security.card_signing import TrustedKeys
from codin.testing.serving import AUDIENCE, Served, serve_agents
from codin.testing.team import FixedPlanner

pytestmark = pytest.mark.slow

CARD = "/.well-known/agent-card.json"
BOSS = Principal("acme", "boss", frozenset({"owner"}))
PUSH = {"taskId": "no-such-task", "id": "c"}

ASKED: dict[str, dict[str, Any]] = {
    "SendMessage": {"message": message("1")},
    "SendStreamingMessage": {"message": message("1")},
    "GetTask": {"id": "no-such-task"},
    "ListTasks": {},
    "CancelTask": {"id": "no-such-task"},
    "SubscribeToTask": {"id": "no-such-task"},
    "CreateTaskPushNotificationConfig": {**PUSH, "url": "https://hooks.example/secret"},
    "GetTaskPushNotificationConfig": PUSH,
    "ListTaskPushNotificationConfigs": {"taskId": "no-such-task"},
    "DeleteTaskPushNotificationConfig": PUSH,
    "GetExtendedAgentCard": {},
}
NEEDED = {
    "SendMessage": "task.create",
    "SendStreamingMessage": "task.create",
    "GetTask": "task.read",
    "ListTasks": "task.read",
    "SubscribeToTask": "task.read",
    "CancelTask": "task.cancel",
    "GetExtendedAgentCard": "card.extended",
} | dict.fromkeys([name for name in OPERATIONS if "Push" in name], "task.push")
REST = {
    "SendMessage": ("POST", "/message:send"),
    "SendStreamingMessage": ("POST", "/message:stream"),
    "GetTask": ("GET", "/tasks/no-such-task"),
    "ListTasks": ("GET", "/tasks"),
    "CancelTask": ("POST", "/tasks/no-such-task:cancel"),
    "SubscribeToTask": ("GET", "/tasks/no-such-task:subscribe"),
    "CreateTaskPushNotificationConfig": ("POST", "/tasks/no-such-task/pushNotificationConfigs"),
    "GetTaskPushNotificationConfig": ("GET", "/tasks/no-such-task/pushNotificationConfigs/c"),
    "ListTaskPushNotificationConfigs": ("GET", "/tasks/no-such-task/pushNotificationConfigs"),
    "DeleteTaskPushNotificationConfig": ("DELETE", "/tasks/no-such-task/pushNotificationConfigs/c"),
    "GetExtendedAgentCard": ("GET", "/extendedAgentCard"),
}
PATHS = [
    "/api/about",
    "/api/agents",
    "/api/tools",
    "/api/tasks",
    "/api/tasks/t",
    "/api/tasks/t/events",
    "/api/tasks/t/files",
    "/api/tasks/t/files/f",
    "/agents/counter/.well-known/agent-card.json",
    "/nowhere",
]


class Anything:
    async def check(self, url: str) -> None:
        """Let it be."""


@pytest.fixture
async def security(tmp_path: Path) -> AsyncIterator[SecurityStore]:
    store = SecurityStore(tmp_path / "home")
    yield store
    await store.close()


@pytest.fixture
async def guarded(tmp_path: Path, security: SecurityStore) -> AsyncIterator[Served]:
    async with serve_agents(
        tmp_path / "gateway", [COUNTER], FixedPlanner(), security=security, push_guard=Anything()
    ) as served:
        yield served


async def key(security: SecurityStore, subject: str, *scopes: str, tenant: str = "acme") -> str:
    boss = Principal(tenant, "boss", frozenset({"owner"}))
    request = KeyRequest(subject, frozenset({"owner"}), frozenset(scopes))
    return (await security.keys.add(boss, request))[1]


@asynccontextmanager
async def calling(
    served: Served, credential: str | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    headers = V1 | ({"authorization": f"Bearer {credential}"} if credential else {})
    async with httpx.AsyncClient(base_url=served.url, headers=headers, trust_env=False) as http:
        yield http


async def asked_over(
    binding: str, served: Served, credential: str | None, name: str
) -> tuple[int, str]:
    """What came of it, as a status of HTTP, and what was said."""
    if binding == "grpc":
        return await _over_grpc(served, credential, name)
    async with calling(served, credential) as http:
        if binding == "rpc":
            answer = await http.post("/", json=rpc(name, ASKED[name]))
        else:
            method, path = REST[name]
            body = {"json": ASKED[name]} if method == "POST" else {}
            answer = await http.request(method, path, **body)
        return answer.status_code, answer.text


async def _over_grpc(served: Served, credential: str | None, name: str) -> tuple[int, str]:
    metadata = [("a2a-version", "1.0")]
    metadata += [("authorization", f"Bearer {credential}")] if credential else []
    async with (
        GrpcServer(served.parts, port=0) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        request = ParseDict(ASKED[name], OPERATIONS[name].request(), ignore_unknown_fields=True)
        call = getattr(A2AServiceStub(channel), name)(request, metadata=metadata)
        try:
            found = [one async for one in call] if hasattr(call, "__aiter__") else [await call]
        except grpc.aio.AioRpcError as error:
            codes = {
                grpc.StatusCode.UNAUTHENTICATED: 401,
                grpc.StatusCode.PERMISSION_DENIED: 403,
                grpc.StatusCode.NOT_FOUND: 404,
            }
            return codes.get(error.code(), 400), str(error.details())
        return 200, str(found)


@pytest.mark.parametrize("binding", ["rpc", "rest", "grpc"])
async def test_nobody_is_let_in_to_any_operation(guarded: Served, binding: str) -> None:
    for name in OPERATIONS:
        status, said = await asked_over(binding, guarded, None, name)
        assert status == 401, name
        assert "Authorization: Bearer" in said
        assert (await asked_over(binding, guarded, "codin_wrong", name))[0] == 401


async def test_what_is_open_is_open_and_nothing_else_is(guarded: Served) -> None:
    async with calling(guarded) as http:
        for path in ("/", CARD, "/.well-known/jwks.json", "/healthz", "/readyz", "/static/app.js"):
            assert (await http.get(path)).status_code == 200, path
        for path in PATHS:
            answer = await http.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"
        for path in ("/", "/api/goals", CARD, "/static/app.js", "/healthz"):
            assert (await http.post(path, json={})).status_code == 401, path
    async with calling(guarded, "wrong") as http:  # a bad credential is worse than none
        assert (await http.get(CARD)).status_code == 401
    async with httpx.AsyncClient(base_url=guarded.url, trust_env=False) as http:
        answer = await http.get("/api/about", headers={"authorization": "Basic eDp5"})
        assert "not as 'Basic'" in answer.json()["error"]["message"]


@pytest.mark.parametrize("binding", ["rpc", "rest", "grpc"])
async def test_each_operation_takes_its_own_permission(
    guarded: Served, security: SecurityStore, binding: str
) -> None:
    permissions = sorted({*NEEDED.values(), "agent.use:*"})
    for name, needed in NEEDED.items():
        others = [each for each in permissions if each != needed]
        status, said = await asked_over(
            binding, guarded, await key(security, "narrow", *others), name
        )
        assert status == 403, (name, said)
        assert f"may not {needed}" in said
        enough = await key(security, "enough", needed, "agent.use:*")
        status, said = await asked_over(binding, guarded, enough, name)
        assert status not in {401, 403, 500}, (name, said)


async def test_a_message_with_a_push_address_takes_two_permissions(
    guarded: Served, security: SecurityStore
) -> None:
    pushing = {"taskPushNotificationConfig": {"url": "https://hooks.example/"}}
    asked = {"message": message("1"), "configuration": pushing}
    async with calling(guarded, await key(security, "k", "task.create", "agent.use:*")) as http:
        answer = await http.post("/agents/counter/", json=rpc("SendMessage", asked))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, -32000)
    assert "may not task.push" in answer.text


@pytest.mark.parametrize("other", [("beta", "acme"), ("alpha", "umbrella")])
async def test_neither_tenants_nor_people_see_each_others_tasks(
    guarded: Served, security: SecurityStore, other: tuple[str, str]
) -> None:
    subject, tenant = other
    async with calling(guarded, await key(security, "alpha")) as http:
        sent = await http.post("/agents/counter/message:send", json={"message": message("1")})
        task_id = sent.json()["task"]["id"]
        assert (await http.get("/agents/counter/tasks")).json()["totalSize"] == 1
    async with calling(guarded, await key(security, subject, tenant=tenant)) as http:
        assert (await http.get("/agents/counter/tasks")).json()["totalSize"] == 0
        base = f"/agents/counter/tasks/{task_id}"
        for method, path in (
            ("GET", base),
            ("POST", f"{base}:cancel"),
            ("GET", f"{base}:subscribe"),
            ("GET", f"{base}/pushNotificationConfigs"),
            ("GET", f"/api/tasks/{task_id}/events"),
            ("GET", f"/api/tasks/{task_id}/files"),
        ):
            answer = await http.request(method, path)
            assert answer.status_code == 404, path
            assert answer.text.replace(task_id, "T") == (
                await http.request(method, path.replace(task_id, "0" * 32))
            ).text.replace("0" * 32, "T"), "unknown and forbidden look the same"


async def test_an_agent_that_one_may_not_use_is_not_there(
    guarded: Served, security: SecurityStore
) -> None:
    narrow = await key(security, "k", "task.*", "agent.use:other")
    async with calling(guarded, narrow) as http:
        assert (await http.get("/api/agents")).json() == {"agents": [], "left_out": []}
        for path in ("/agents/counter" + CARD, "/agents/nobody" + CARD):
            assert (await http.get(path)).status_code == 404


async def test_a_token_is_good_here_alone_and_for_its_minutes(tmp_path: Path) -> None:
    now = [time.time()]
    store = SecurityStore(tmp_path / "home", clock=lambda: now[0])
    user = Principal("acme", "uma", frozenset({"user"}))
    issuer = store.issuer(AUDIENCE)
    token = issuer.exchange(
        user,
        audience=AUDIENCE,
        scopes=frozenset({"task.*", "agent.use:*"}),
        actor="gateway-b",
        seconds=60,
    )
    elsewhere = issuer.issue(user, audience="https://elsewhere.example")
    async with serve_agents(
        tmp_path / "gateway", [COUNTER], FixedPlanner(), security=store
    ) as served:
        async with calling(served, elsewhere) as http:
            assert (await http.get("/api/about")).status_code == 401
        async with calling(served, token) as http:
            sent = await http.post("/agents/counter/message:send", json={"message": message("1")})
            assert sent.status_code == 200
            assert (await http.get("/extendedAgentCard")).status_code == 403, "narrower"
            now[0] += 61
            answer = await http.get("/api/about")
            assert (answer.status_code, "expired" in answer.text) == (401, True)
    record = (await store.audit.list(BOSS))[-1]
    assert (record.subject, record.entry.behalf) == ("uma", ("gateway-b",))
    await store.close()


async def test_who_did_what_is_written_down(guarded: Served, security: SecurityStore) -> None:
    async with calling(guarded, await key(security, "alpha")) as http:
        sent = await http.post("/agents/counter/message:send", json={"message": message("1")})
        task_id = sent.json()["task"]["id"]
        await http.get(f"/agents/counter/tasks/{task_id}")
        await http.post(f"/agents/counter/tasks/{task_id}:cancel")
        config = {"url": "https://hooks.example/a-secret", "id": "c"}
        await http.post(f"/agents/counter/tasks/{task_id}/pushNotificationConfigs", json=config)
    async with calling(guarded, await key(security, "viewer", "task.read")) as http:
        await http.post(f"/agents/counter/tasks/{task_id}:cancel")
        await http.post("/message:send", json={"message": message("1")})
    records = await security.audit.list(BOSS)
    assert "a-secret" not in json.dumps([dict(one.entry.detail) for one in records])
    told = [(r.subject, r.entry.action, r.entry.resource, r.entry.allowed) for r in records]
    assert told[::-1] == [
        ("alpha", "task.create", "counter", True),
        ("alpha", "task.cancel", task_id, True),
        ("alpha", "task.push", task_id, True),
        ("viewer", "task.create", "orchestrator", False),
    ]
    assert {record.entry.origin for record in records} == {"127.0.0.1"}


async def test_cards_are_signed_and_say_how_to_come_in(
    guarded: Served, security: SecurityStore
) -> None:
    async with (
        GrpcServer(guarded.parts, port=0),
        calling(guarded, await key(security, "k")) as http,
    ):
        keys = KeySet.import_key_set((await http.get("/.well-known/jwks.json")).json())
        verifier = CardVerifier("require", [TrustedKeys(keys.keys)])
        for path in (CARD, "/agents/counter" + CARD, "/extendedAgentCard"):
            card = ParseDict((await http.get(path)).json(), AgentCard(), ignore_unknown_fields=True)
            assert (await verifier.check(card)).verified, path
            schemes = MessageToDict(card)["securitySchemes"]
            assert schemes["bearer"]["httpAuthSecurityScheme"]["scheme"] == "Bearer"
            assert [list(one.schemes) for one in card.security_requirements] == [["bearer"]]
            assert "GRPC" in {one.protocol_binding for one in card.supported_interfaces}
            card.skills[0].name = "something else"
            with pytest.raises(Exception, match="does not fit"):
                await verifier.check(card)


async def test_an_old_client_is_refused_as_well(guarded: Served, security: SecurityStore) -> None:
    body = rpc("message/send", {"message": {"messageId": "m", "role": "user", "parts": []}})
    async with calling(guarded, await key(security, "viewer", "task.read")) as http:
        answer = await http.post("/", json=body, headers={"a2a-version": "0.3"})
        assert "may not task.create" in answer.text
        assert "result" not in answer.json()
