"""The page's API: goals, their events, their files, and what everybody is told with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from codin.gateway.headers import SECURITY_HEADERS
from codin.security import LOCAL_USER
from codin.testing.serving import Served
from codin.testing.team import ANSWER, PNG

pytestmark = pytest.mark.slow


async def start(http: httpx.AsyncClient, goal: str = "Which region leads?") -> str:
    answer = await http.post("/api/goals", json={"goal": goal})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["task_id"])


async def sse(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, Any]]:
    """Events as a browser would give them; comments are left out."""
    event: dict[str, Any] = {}
    async for line in lines:
        if not line and "data" in event:
            yield {**event, "data": json.loads(event["data"])}
        if not line:
            event = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = value


async def events(http: httpx.AsyncClient, task_id: str, **headers: str) -> list[dict[str, Any]]:
    async with http.stream("GET", f"/api/tasks/{task_id}/events", headers=headers) as stream:
        assert stream.status_code == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        return [event async for event in sse(stream.aiter_lines())]


async def test_a_goal_is_told_from_its_first_event_to_its_last(http: httpx.AsyncClient) -> None:
    told = await events(http, await start(http))
    *entries, done = told
    assert [int(entry["id"]) for entry in entries] == list(range(1, len(entries) + 1))
    assert [entry["data"]["seq"] for entry in entries] == [int(entry["id"]) for entry in entries]
    assert done["event"] == "done"
    kinds = [entry["data"]["kind"] for entry in entries]
    assert kinds[0] == "task"
    assert {"status", "artifact", "child"} <= set(kinds)
    assert entries[-1]["data"]["body"]["status"]["state"] == "TASK_STATE_COMPLETED"
    assert ANSWER in json.dumps([entry["data"]["body"] for entry in entries])


async def test_a_stream_is_taken_up_again_without_gaps_or_repeats(http: httpx.AsyncClient) -> None:
    task_id = await start(http, "hang on a while")
    seen: list[int] = []
    for _ in range(4):  # breaks off after a few events each time, while the task runs
        async with http.stream(
            "GET", f"/api/tasks/{task_id}/events", headers={"last-event-id": str(max(seen or [0]))}
        ) as stream:
            async for event in sse(stream.aiter_lines()):
                seen.append(int(event["id"]))
                if len(seen) % 3 == 0:
                    break
    await http.post(f"/api/tasks/{task_id}/cancel")
    rest = await events(http, task_id, **{"last-event-id": str(seen[-1])})
    seen += [int(event["id"]) for event in rest[:-1]]
    assert seen == list(range(1, len(seen) + 1))
    whole = await events(http, task_id)
    assert [int(event["id"]) for event in whole[:-1]] == seen
    assert (await events(http, task_id, **{"last-event-id": str(seen[-1])}))[0]["event"] == "done"


async def test_a_stream_at_its_tip_begins_at_once_and_shows_that_it_lives(
    http: httpx.AsyncClient, served: Served
) -> None:
    task_id = await start(http, "hang on")
    async with asyncio.timeout(10):
        while True:
            tip = (await served.log.task(LOCAL_USER, task_id)).last_seq
            await asyncio.sleep(0.7)
            if (await served.log.task(LOCAL_USER, task_id)).last_seq == tip:
                break
    async with (
        asyncio.timeout(3),
        http.stream("GET", f"/api/tasks/{task_id}/events?after={tip}") as stream,
    ):
        assert (await anext(stream.aiter_lines())).startswith(":")


async def test_goals_are_listed_newest_first_and_page_by_page(
    http: httpx.AsyncClient, served: Served
) -> None:
    first, second = await start(http, "hang one"), await start(http, "hang two")
    for task_id in (first, second):
        answer = (await http.post(f"/api/tasks/{task_id}/cancel")).json()
        assert answer["status"]["state"] == "TASK_STATE_CANCELED"
    listed = (await http.get("/api/tasks")).json()
    assert [(row["id"], row["goal"]) for row in listed["tasks"]] == [
        (second, "hang two"),
        (first, "hang one"),
    ]
    assert (listed["total"], listed["next"]) == (2, "")
    row = listed["tasks"][0]
    older = await http.get("/api/tasks", params={"page": f"{row['updated']!r}:{second}"})
    assert [row["id"] for row in older.json()["tasks"]] == [first]
    again = await http.post(f"/api/tasks/{first}/cancel")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "task_not_cancelable")


async def test_a_task_is_paused_and_resumed(http: httpx.AsyncClient, served: Served) -> None:
    task_id = await start(http, "hang one")
    assert (await http.post(f"/api/tasks/{task_id}/pause")).status_code == 200
    [row] = (await http.get("/api/tasks")).json()["tasks"]
    assert (row["id"], row["paused"]) == (task_id, True)
    async with asyncio.timeout(10):
        while (await served.log.task(LOCAL_USER, task_id)).owner is not None:
            await asyncio.sleep(0.05)
    assert (await http.post(f"/api/tasks/{task_id}/resume")).status_code == 200
    [row] = (await http.get("/api/tasks")).json()["tasks"]
    assert not row["paused"]
    assert (await http.post(f"/api/tasks/{task_id}/cancel")).status_code == 200
    for verb in ("pause", "resume"):
        over = await http.post(f"/api/tasks/{task_id}/{verb}")
        assert (over.status_code, over.json()["error"]["code"]) == (409, "task_not_cancelable")
        assert (await http.post(f"/api/tasks/nope/{verb}")).status_code == 404


async def test_a_plan_is_changed_by_a_change_that_can_be(http: httpx.AsyncClient) -> None:
    task_id = await start(http, "hang one")
    async with asyncio.timeout(10):
        while not (await http.get(f"/api/tasks/{task_id}")).json().get("status", {}).get("message"):
            await asyncio.sleep(0.05)
    path = f"/api/tasks/{task_id}/plan"
    for wrong in ({}, {"skip": "a", "retry": "a"}, {"drop": "a"}):
        assert (await http.post(path, json=wrong)).status_code == 400
    refused = await http.post(path, json={"retry": "nothing"})
    assert refused.status_code == 400
    assert "there is no step 'nothing'" in refused.json()["error"]["message"]
    assert (await http.post("/api/tasks/nope/plan", json={"skip": "a"})).status_code == 404
    assert (await http.post(f"/api/tasks/{task_id}/cancel")).status_code == 200


async def test_a_task_that_asks_takes_an_answer_and_others_do_not(http: httpx.AsyncClient) -> None:
    task_id = await start(http, "ask me")
    async with asyncio.timeout(10):
        while "INPUT_REQUIRED" not in (await http.get(f"/api/tasks/{task_id}")).text:
            await asyncio.sleep(0.05)
    answered = await http.post(f"/api/tasks/{task_id}/answer", json={"text": "2025"})
    assert answered.status_code == 200
    *_, last, _ = await events(http, task_id)
    assert last["data"]["body"]["status"]["state"] == "TASK_STATE_COMPLETED"
    late = await http.post(f"/api/tasks/{task_id}/answer", json={"text": "2026"})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "unsupported_operation")
    assert (await http.post("/api/tasks/nope/answer", json={"text": "x"})).status_code == 404
    assert (await http.post(f"/api/tasks/{task_id}/answer", json={})).status_code == 400


async def test_files_are_downloads_that_can_do_nothing(http: httpx.AsyncClient) -> None:
    task_id = await start(http, "hostile")
    await events(http, task_id)
    listed = (await http.get(f"/api/tasks/{task_id}/files")).json()["files"]
    assert {row["path"] for row in listed} == {
        "chart.png",
        "report.md",
        "<b onmouseover=probed=1>.csv",
    }
    chart = await http.get(f"/api/tasks/{task_id}/files/chart.png")
    assert (chart.content, chart.headers["content-type"]) == (PNG, "image/png")
    odd = await http.get(f"/api/tasks/{task_id}/files/%3Cb%20onmouseover=probed=1%3E.csv")
    assert odd.headers["content-type"].startswith("text/plain")
    for answer in (chart, odd):
        assert answer.headers["content-disposition"].startswith("attachment; filename=")
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


OUTSIDE = ["../codin.db", "..%2f..%2fcodin.db", "/etc/passwd", "%2fetc%2fpasswd", "link", ""]


async def test_nothing_outside_the_workspace_is_a_file(
    http: httpx.AsyncClient, served: Served
) -> None:
    task_id = await start(http, "hang")
    folder = await served.workspaces.folder(LOCAL_USER, task_id)
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "folder").mkdir()
    for path in [*OUTSIDE, "a%00b", "folder", "%2e%2e", "folder/%2e%2e/link"]:
        request = http.build_request("GET", "/")
        raw = f"/api/tasks/{task_id}/files/{path}".encode()
        request.url = request.url.copy_with(raw_path=raw)
        answer = await http.send(request)
        assert answer.status_code == 404, path
        assert "root:" not in answer.text


NO_GOALS = {
    b"{": "no JSON",
    b"": "no JSON",
    b"\xff": "no JSON",
    b"[" * 100_000: "no JSON",
    b"[]": "body",
    b"{}": "goal",
    b'{"goal": 7}': "goal",
    b'{"goal": ""}': "goal",
    b'{"goal": " \\n"}': "empty",
    b'{"goal": "\\u0085\\ufeff"}': "empty",
    b'{"goal": "x", "tenant": "other"}': "tenant",
    json.dumps({"goal": "x" * 300_000}).encode(): "262,144",
}


async def test_a_goal_that_is_none_is_refused_with_one_sentence(http: httpx.AsyncClient) -> None:
    for body, says in NO_GOALS.items():
        answer = await http.post("/api/goals", content=body)
        assert answer.status_code == 400
        assert says in answer.json()["error"]["message"]
        assert len(answer.json()["error"]["message"]) < 300
    assert (await http.get("/api/tasks")).json()["tasks"] == []


async def test_a_goal_of_a_megabyte_is_too_large(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/goals", json={"goal": "x" * 1024 * 1024})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


async def test_what_is_not_there_is_said_so_in_json(http: httpx.AsyncClient) -> None:
    for path in ("/api/tasks/nope", "/api/tasks/nope/events", "/api/tasks/nope/files"):
        answer = await http.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    task_id = await start(http)
    assert (await http.get(f"/api/tasks/{task_id}/files/none.txt")).status_code == 404
    bad = await http.get(f"/api/tasks/{task_id}/events", headers={"last-event-id": "-1"})
    assert (bad.status_code, bad.json()["error"]["code"]) == (400, "invalid_request")
    assert (await http.get("/api/tasks?page=x")).status_code == 400
    assert (await http.get("/nowhere")).json()["error"]["code"] == "not_found"
    assert (await http.delete("/api/goals")).status_code == 405


async def test_the_team_and_health_are_told(http: httpx.AsyncClient) -> None:
    team = (await http.get("/api/agents")).json()["agents"]
    assert [(row["id"], row["trusted"]) for row in team] == [
        ("analyst", False),
        ("scout", False),
        ("writer", False),
    ]
    tools = (await http.get("/api/tools")).json()["tools"]
    assert [tool["name"] for tool in tools] == ["save"]
    assert (await http.get("/api/about")).json()["model"]["label"] == "scripted agents"
    assert (await http.get("/healthz")).json() == {"status": "ok"}
    assert (await http.get("/readyz")).json() == {"status": "ready", "problems": []}


async def test_every_answer_carries_the_headers(http: httpx.AsyncClient) -> None:
    answers = [
        await http.get("/"),
        await http.get("/static/app.js"),
        await http.get("/nowhere"),
        await http.get("/", headers={"host": "evil.example"}),
        await http.post("/api/goals", content=b"x" * 2_000_000),
        await http.get("/.well-known/agent-card.json"),
    ]
    for answer in answers:
        for name, value in SECURITY_HEADERS.items():
            assert answer.headers[name] == value, answer.url
    assert "unsafe" not in answers[0].headers["content-security-policy"]
    assert answers[0].headers["content-type"].startswith("text/html")
