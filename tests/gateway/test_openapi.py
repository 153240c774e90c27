"""What the document of the page's API says is what is served, whatever is sent to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from codin.gateway.api import PageApi
from codin.gateway.app import create_app
from codin.gateway.page import page_routes
from codin.gateway.server import HttpServer
from codin.security import LOCAL_USER, Principal
from codin.task.push import DeadLetter, PushConfig, PushNotifications
from codin.task.push.stored import StoredPushConfigs
from codin.testing.push import AnyUrl
from codin.testing.serving import Served, serve_agents
from codin.testing.team import TEAM, FixedPlanner

pytestmark = pytest.mark.slow

GUARDED = (401, 403, 429, 503)


@dataclass
class Target:
    """A gateway with goals that have ended, one that asks, and one that does not end."""

    served: Served
    document: dict[str, Any]
    ids: list[str]


@asynccontextmanager
async def target(home: Path) -> AsyncIterator[Target]:
    async with (
        serve_agents(
            home, TEAM, FixedPlanner(), heartbeat_seconds=0.2, push_guard=AnyUrl()
        ) as served,
        httpx.AsyncClient(base_url=served.url, trust_env=False, timeout=20) as http,
    ):
        ids = []
        for goal in ("Which region leads?", "fail", "ask me first"):
            begun = (await http.post("/api/goals", json={"goal": goal})).json()
            ids.append(begun["task_id"])
            async with http.stream("GET", f"/api/tasks/{ids[-1]}/events") as events:
                async for line in events.aiter_lines():
                    if "done" in line or "INPUT_REQUIRED" in line:
                        break
        yield Target(served, (await http.get("/api/openapi.json")).json(), ids)


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Target]:
    async with target(tmp_path) as one:
        yield one


def routes(one: Target) -> Iterator[tuple[str, str]]:
    """What is served below /api, as Starlette has it."""
    for route in PageApi(one.served.parts).routes():
        for method in (route.methods or set()) - {"HEAD"}:
            yield method.lower(), route.path.replace(":path", "")


async def test_every_route_is_in_the_document_and_nothing_else(one: Target) -> None:
    documented = {
        (method, path) for path, methods in one.document["paths"].items() for method in methods
    }
    assert documented == set(routes(one))
    assert all(path.startswith("/api/") for _, path in documented)
    assert not any(getattr(route, "path", "").startswith("/api") for route in page_routes())


async def test_the_document_is_one_and_says_what_can_go_wrong(one: Target) -> None:
    assert one.document["openapi"].startswith("3.1")
    names = set()
    for path, methods in one.document["paths"].items():
        for operation in methods.values():
            names.add(operation["operationId"])
            codes = set(operation["responses"])
            assert {str(code) for code in GUARDED} <= codes, path
            assert ("{id}" not in path) or "404" in codes, path
            assert ("requestBody" not in operation) or {"400", "413"} <= codes, path
    assert len(names) == len(list(routes(one)))
    text = json.dumps(one.document)
    for name in ("Task", "Message", "Artifact", "Part", "TaskStatus"):
        assert name in one.document["components"]["schemas"]
        assert f"#/components/schemas/{name}" in text


async def test_the_schema_of_a_task_is_that_of_the_protocol(one: Target) -> None:
    schemas = one.document["components"]["schemas"]
    check = jsonschema.Draft202012Validator(
        {"$ref": "#/components/schemas/Task", "components": {"schemas": schemas}}
    )
    async with httpx.AsyncClient(base_url=one.served.url, trust_env=False) as http:
        for task_id in one.ids:
            check.validate((await http.get(f"/api/tasks/{task_id}")).json())
    for wrong in ({"ID": "x"}, {"status": {"state": "DONE"}}, {"history": [{"parts": {}}]}, []):
        assert not check.is_valid(wrong)


async def test_dead_letters_are_shown_to_whose_they_are(one: Target) -> None:
    async with httpx.AsyncClient(base_url=one.served.url, trust_env=False) as http:
        found = await http.get("/api/push/dead-letters")
        assert (found.status_code, found.json()) == (200, {"letters": [], "next": ""})
        for wrong in ("page=x", "page=-1", "task=" + "x" * 257):
            assert (await http.get(f"/api/push/dead-letters?{wrong}")).status_code == 400


async def test_a_context_that_cannot_be_stored_is_wrong_by_the_document_too(one: Target) -> None:
    schemas = one.document["components"]["schemas"]
    check = jsonschema.Draft202012Validator({**schemas["Goal"], "components": {"schemas": schemas}})
    async with httpx.AsyncClient(base_url=one.served.url, trust_env=False) as http:
        for context, good in (("caf\u00e9\n", True), ("a\0b", False)):
            goal = {"goal": "Which region leads?", "context_id": context}
            assert check.is_valid(goal) is good
            answer = await http.post("/api/goals", json=goal)
            assert answer.is_success is good, answer.text


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
async def test_whatever_is_sent_is_answered_as_documented(
    one: Target, mode: GenerationMode
) -> None:
    """Every check of schemathesis: no 5xx, only declared codes and types, answers that fit their
    schemas, wrong data refused, right data taken."""
    schema = schemathesis.openapi.from_dict(one.document)
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if mode is GenerationMode.POSITIVE or _can_be_wrong(one.document, operation):
            await asyncio.to_thread(_hold, operation, one, mode)


def _can_be_wrong(document: dict[str, Any], operation: Any) -> bool:
    """Whether there is a rule to break: any text is good enough for a path."""
    said = document["paths"][operation.path][operation.method]
    parameters = [one for one in said["parameters"] if one["in"] != "path"]
    return bool(parameters) or "requestBody" in said


def _hold(operation: Any, one: Target, mode: GenerationMode) -> None:
    cases = operation.as_strategy(generation_mode=mode)
    ids = one.ids if "/events" not in operation.path else one.ids[:2]  # those that have an end

    @settings(
        max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=cases, known=st.sampled_from([*ids, None]))
    def hold(case: Any, known: str | None) -> None:
        if known is not None and "id" in (case.path_parameters or {}):
            case.path_parameters["id"] = known
        case.call_and_validate(base_url=one.served.url, timeout=20)

    hold()


async def test_a_letter_is_shown_to_its_owner_alone(one: Target, tmp_path: Path) -> None:
    push = one.served.parts.push
    assert push is not None
    # a store of its own: nobody else delivers what is in it
    store = await StoredPushConfigs.open(tmp_path / "letters.db")
    push = PushNotifications(store, AnyUrl(), push._delivery)
    app = create_app(replace(one.served.parts, push=push))
    for who in (LOCAL_USER, Principal("other", "ann")):
        config = PushConfig("c", f"{who.tenant}-task", "https://x.example/c")
        await store.put(who, config, after=0, most=5)
    for claim in await store.claim("me", 60.0, lambda _: False):
        for seq in range(1, 56):
            letter = DeadLetter(
                claim.config.task_id, "c", seq, claim.config.url, "no answer", None, 4, 1.5, 2.5
            )
            assert await store.advance(claim, seq, letter=letter)
    async with (
        HttpServer(app, port=0) as web,
        httpx.AsyncClient(base_url=web.url, trust_env=False) as http,
    ):
        first = (await http.get("/api/push/dead-letters")).json()
        rest = (await http.get("/api/push/dead-letters", params={"page": first["next"]})).json()
        seen = [letter["seq"] for letter in first["letters"] + rest["letters"]]
        assert seen == list(range(55, 0, -1))
        assert {letter["task_id"] for letter in first["letters"]} == {"local-task"}
        assert rest["next"] == ""
        others = (await http.get("/api/push/dead-letters", params={"task": "other-task"})).json()
        assert others["letters"] == []
    await store.close()
