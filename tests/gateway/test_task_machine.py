"""Tasks of two tenants, in any order of operations, over both HTTP bindings, against a model.

Nobody sees another's task; states move along A2A's transitions only (A2A 1.0, section 4.1.3); pages
cover everything exactly once; what has ended does not change; a message makes one task.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import httpx
import pytest
from a2a_calls import V1, rpc
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from starlette.types import ASGIApp

from codin.agent.base import Task
from codin.agent.cards import RESUME_EXTENSION
from codin.agent.events import AgentEvent, Failed, InputRequest, TextFinal
from codin.gateway.app import create_app
from codin.gateway.auth import Authenticator, Caller
from codin.gateway.errors import Unauthenticated
from codin.security import Principal
from codin.testing.push import AnyUrl
from codin.testing.serving import ScriptedAgent, serve_agents
from codin.testing.team import FixedPlanner

pytestmark = pytest.mark.slow

T = TypeVar("T")
Json = dict[str, Any]

PATH = "/agents/worker"
NOT_FOUND = {-32001, "TASK_NOT_FOUND"}
NOT_CANCELABLE = {-32002, "TASK_NOT_CANCELABLE"}
UNSUPPORTED = {-32004, "UNSUPPORTED_OPERATION"}

SUBMITTED, WORKING, ASKS = "SUBMITTED", "WORKING", "INPUT_REQUIRED"
ENDS = {"fine": "COMPLETED", "fail": "FAILED"}
TERMINAL = {"COMPLETED", "FAILED", "CANCELED"}
BECOMES = {**ENDS, "ask": ASKS, "hold": WORKING}
"""What a message with this text leads to, when nothing else happens."""
BEFORE = {SUBMITTED: 0, WORKING: 1}
"""A task on its way to where it will be."""


async def work(task: Task) -> AsyncGenerator[AgentEvent, None]:
    match task.text:
        case "hold":
            await asyncio.Event().wait()
        case "ask":
            yield InputRequest(request_id=uuid.uuid4().hex, prompt="what now?")
            return
        case "fail":
            yield Failed(error_type="ValueError", message="as you wished")
            return
    yield TextFinal(message_id="m", text="done")


class ByName(Authenticator):
    """A caller is whom it says to be: ``subject@tenant``."""

    async def authenticate(self, caller: Caller) -> Principal:
        subject, _, tenant = caller.headers.get("authorization", "").rpartition("@")
        if not subject:
            raise Unauthenticated("say who you are")
        return Principal(tenant, subject, roles=frozenset({"user"}))


class Gateway:
    """The application over the real log, on a loop of its own, so that agents go on between the
    steps."""

    def __init__(self, home: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._stack = AsyncExitStack()
        self.app: ASGIApp = self.do(self._open(home))

    async def _open(self, home: Path) -> ASGIApp:
        served = await self._stack.enter_async_context(
            serve_agents(home, [ScriptedAgent("worker", work)], FixedPlanner(), push_guard=AnyUrl())
        )
        app = create_app(replace(served.parts, authenticator=ByName()))
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
        self.http = await self._stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://localhost")
        )
        return app

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def close(self) -> None:
        self.do(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def gateway(home: Path) -> Iterator[Gateway]:
    opened = Gateway(home)
    try:
        yield opened
    finally:
        opened.close()


_REST: dict[str, tuple[str, str]] = {
    "SendMessage": ("POST", "/message:send"),
    "GetTask": ("GET", "/tasks/{id}"),
    "ListTasks": ("GET", "/tasks"),
    "CancelTask": ("POST", "/tasks/{id}:cancel"),
    "SubscribeToTask": ("POST", "/tasks/{id}:subscribe"),
    "CreateTaskPushNotificationConfig": ("POST", "/tasks/{taskId}/pushNotificationConfigs"),
    "ListTaskPushNotificationConfigs": ("GET", "/tasks/{taskId}/pushNotificationConfigs"),
    "GetTaskPushNotificationConfig": ("GET", "/tasks/{taskId}/pushNotificationConfigs/{id}"),
    "DeleteTaskPushNotificationConfig": ("DELETE", "/tasks/{taskId}/pushNotificationConfigs/{id}"),
}


def request_of(binding: str, method: str, params: Json) -> tuple[str, str, Json, Json | None]:
    """Verb, path, query and body by which ``method`` is asked over ``binding``."""
    if binding == "rpc":
        return "POST", PATH, {}, rpc(method, params)
    verb, path = _REST[method]
    rest = {name: value for name, value in params.items() if f"{{{name}}}" not in path}
    path = PATH + path.format(**params)
    return (verb, path, {}, rest) if verb == "POST" else (verb, path, rest, None)


async def asked(http: httpx.AsyncClient, who: str, binding: str, method: str, params: Json) -> Json:
    """The result; an error is ``{"error": code or reason}``."""
    verb, path, query, body = request_of(binding, method, params)
    headers = {**V1, "authorization": who}
    answer = await http.request(verb, path, params=query, json=body, headers=headers)
    return _result(answer.content)


def _result(content: bytes) -> Json:
    found: Json = json.loads(content or b"{}")
    error = found.get("error")
    if error is None:
        result: Json = found.get("result", found)
        return result
    return {"error": error["details"][0]["reason"] if "details" in error else error["code"]}


async def followed(
    app: ASGIApp, who: str, binding: str, task_id: str, *, after: int | None, enough: int
) -> list[tuple[int, Json]]:
    """The numbered events of a stream that its client leaves after ``enough`` of them."""
    _, path, _, body = request_of(binding, "SubscribeToTask", {"id": task_id})
    headers = {**V1, "authorization": who, "host": "localhost", "content-type": "application/json"}
    if after is not None:
        headers |= {"a2a-extensions": RESUME_EXTENSION, "last-event-id": str(after)}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
        "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "client": ("127.0.0.1", 1), "server": ("localhost", 80),
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
    }  # fmt: skip
    coming = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
    left = asyncio.Event()
    got = bytearray()

    async def receive() -> Json:
        if coming:
            return coming.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        got.extend(message.get("body", b""))
        if got.count(b"\n\n") >= enough:
            left.set()

    async with asyncio.timeout(20):
        await app(scope, receive, send)
    if got.startswith(b"{"):
        return [(0, _result(bytes(got)))]
    return [_event(one) for one in bytes(got).decode().split("\n\n") if "data:" in one]


def _event(text: str) -> tuple[int, Json]:
    fields = dict(line.split(": ", 1) for line in text.splitlines())
    body = json.loads(fields["data"])
    return int(fields["id"]), body.get("result", body)


@dataclass
class Known:
    """What the model knows of a task. ``shown`` is how it was once it had ended."""

    id: str
    context: str
    expected: str
    seen: str = SUBMITTED
    messages: dict[str, str] = field(default_factory=dict)
    configs: dict[str, str] = field(default_factory=dict)
    shown: Json | None = None

    def moves(self, text: str) -> None:
        self.expected = BECOMES[text]
        self.seen = SUBMITTED


PEOPLE = st.sampled_from(["ann", "bob"])
BINDINGS = st.sampled_from(["rpc", "rest"])
TEXTS = st.sampled_from(sorted(BECOMES))
PICKS = st.integers(0, 10_000)


def _has_tasks(machine: Any) -> bool:
    return any(machine.tasks.values())


class Operations(RuleBasedStateMachine):
    """Each example has tenants of its own."""

    gate: ClassVar[Gateway]

    def __init__(self) -> None:
        super().__init__()
        run = uuid.uuid4().hex
        self.names = {who: f"{who}@{who}-{run}" for who in ("ann", "bob")}
        self.tasks: dict[str, list[Known]] = {"ann": [], "bob": []}

    def ask(self, who: str, binding: str, method: str, params: Json) -> Json:
        return self.gate.do(asked(self.gate.http, self.names[who], binding, method, params))

    def watch(self, who: str, binding: str, task_id: str, **how: Any) -> list[tuple[int, Json]]:
        return self.gate.do(followed(self.gate.app, self.names[who], binding, task_id, **how))

    def any_task(self, pick: int) -> tuple[str, Known]:
        every = [(who, task) for who, tasks in self.tasks.items() for task in tasks]
        return every[pick % len(every)]

    def look(self, task: Known, found: Json) -> None:
        """Hold what was shown of a task against what is known of it."""
        assert (found["id"], found["contextId"]) == (task.id, task.context)
        state = found["status"]["state"].removeprefix("TASK_STATE_")
        if state != task.expected:
            assert state in BEFORE, (state, task)
            assert BEFORE[state] >= BEFORE.get(task.seen, 2), (state, task)
        else:
            assert task.seen in BEFORE or task.seen == state, (state, task)
        task.seen = state
        if state in TERMINAL:
            task.shown = task.shown or found
            assert found == task.shown
        for message_id in task.messages:
            assert [m["messageId"] for m in found["history"]].count(message_id) == 1

    def settle(self, who: str) -> None:
        """Wait until every task is where it will be."""
        for task in self.tasks[who]:
            until = time.monotonic() + 20
            while task.seen != task.expected:
                assert time.monotonic() < until, task
                self.look(task, self.ask(who, "rpc", "GetTask", {"id": task.id}))

    def send(
        self, who: str, binding: str, text: str, message_id: str, wait: bool, **more: Any
    ) -> Json:
        parts = [{"text": text}]
        said = {"messageId": message_id, "role": "ROLE_USER", "parts": parts, **more}
        at_once = {"returnImmediately": not wait}
        return self.ask(who, binding, "SendMessage", {"message": said, "configuration": at_once})

    @rule(who=PEOPLE, binding=BINDINGS, text=TEXTS, wait=st.booleans())
    def begin(self, who: str, binding: str, text: str, wait: bool) -> None:
        self.begun(who, binding, text, uuid.uuid4().hex, wait)

    def begun(self, who: str, binding: str, text: str, message_id: str, wait: bool) -> None:
        wait = wait and text != "hold"
        found = self.send(who, binding, text, message_id, wait)["task"]
        known = Known(found["id"], found["contextId"], BECOMES[text])
        assert known.id not in {task.id for tasks in self.tasks.values() for task in tasks}
        known.messages[message_id] = text
        self.tasks[who].append(known)
        self.look(known, found)
        assert not wait or known.seen == known.expected

    @precondition(_has_tasks)
    @rule(pick=PICKS, which=PICKS, binding=BINDINGS)
    def say_it_again(self, pick: int, which: int, binding: str) -> None:
        who, task = self.any_task(pick)
        first = next(iter(task.messages.items()))  # the message that made it
        found = self.send(who, binding, first[1], first[0], False)["task"]
        self.look(task, found)

    @precondition(_has_tasks)
    @rule(pick=PICKS, binding=BINDINGS)
    def say_what_another_said(self, pick: int, binding: str) -> None:
        who, task = self.any_task(pick)
        other = "bob" if who == "ann" else "ann"
        message_id, text = next(iter(task.messages.items()))
        if all(message_id not in one.messages for one in self.tasks[other]):
            self.begun(other, binding, text, message_id, False)

    @precondition(_has_tasks)
    @rule(pick=PICKS, who=PEOPLE, binding=BINDINGS)
    def get(self, pick: int, who: str, binding: str) -> None:
        owner, task = self.any_task(pick)
        found = self.ask(who, binding, "GetTask", {"id": task.id})
        if who != owner:
            assert found["error"] in NOT_FOUND
        else:
            self.look(task, found)

    @precondition(_has_tasks)
    @rule(pick=PICKS, who=PEOPLE, binding=BINDINGS)
    def cancel(self, pick: int, who: str, binding: str) -> None:
        owner, task = self.any_task(pick)
        self.settle(owner)
        found = self.ask(who, binding, "CancelTask", {"id": task.id})
        if who != owner:
            assert found["error"] in NOT_FOUND
        elif task.expected in TERMINAL:
            assert found["error"] in NOT_CANCELABLE
        else:
            task.expected, task.seen = "CANCELED", WORKING
            self.look(task, found)
            assert task.seen == "CANCELED"

    @precondition(_has_tasks)
    @rule(pick=PICKS, who=PEOPLE, binding=BINDINGS, text=TEXTS)
    def answer(self, pick: int, who: str, binding: str, text: str) -> None:
        owner, task = self.any_task(pick)
        self.settle(owner)
        message_id = uuid.uuid4().hex
        found = self.send(who, binding, text, message_id, text != "hold", taskId=task.id)
        if who != owner:
            assert found["error"] in NOT_FOUND
        elif task.expected != ASKS:
            assert found["error"] in UNSUPPORTED
        else:
            task.moves(text)
            task.messages[message_id] = text
            self.look(task, found["task"])

    @rule(who=PEOPLE, binding=BINDINGS, size=st.integers(1, 5), more=st.integers(0, 2))
    def list_all(self, who: str, binding: str, size: int, more: int) -> None:
        self.settle(who)
        wanted = sorted(task.id for task in self.tasks[who])
        seen: list[str] = []
        token = ""
        while True:
            page = self.ask(who, binding, "ListTasks", {"pageSize": size, "pageToken": token})
            assert page["totalSize"] == len(self.tasks[who])
            assert len(page["tasks"]) <= size
            seen += [task["id"] for task in page["tasks"]]
            token = page["nextPageToken"]
            if not token:
                break
            if more:  # what is added now is no part of the list that was begun
                more -= 1
                self.begun(who, binding, "hold", uuid.uuid4().hex, False)
        assert sorted(seen) == wanted

    @precondition(_has_tasks)
    @rule(pick=PICKS, who=PEOPLE, binding=BINDINGS, state=st.sampled_from(sorted(TERMINAL)))
    def list_some(self, pick: int, who: str, binding: str, state: str) -> None:
        self.settle(who)
        _, task = self.any_task(pick)
        mine = self.tasks[who]
        for narrowed, wanted in (
            ({"status": f"TASK_STATE_{state}"}, [t.id for t in mine if t.expected == state]),
            ({"contextId": task.context}, [t.id for t in mine if t.context == task.context]),
        ):
            page = self.ask(who, binding, "ListTasks", {"pageSize": 100, **narrowed})
            assert sorted(task["id"] for task in page["tasks"]) == sorted(wanted)

    @precondition(_has_tasks)
    @rule(pick=PICKS, who=PEOPLE, binding=BINDINGS)
    def subscribe(self, pick: int, who: str, binding: str) -> None:
        owner, task = self.any_task(pick)
        self.settle(owner)
        (_, first), *rest = self.watch(who, binding, task.id, after=None, enough=1)
        if who != owner:
            assert first["error"] in NOT_FOUND
        elif task.expected in TERMINAL:
            assert first["error"] in UNSUPPORTED
        else:
            self.look(task, first["task"])
            assert rest == []

    @precondition(_has_tasks)
    @rule(pick=PICKS, who=PEOPLE, binding=BINDINGS, after=st.integers(0, 6))
    def resume(self, pick: int, who: str, binding: str, after: int) -> None:
        owner, task = self.any_task(pick)
        self.settle(owner)
        if who != owner:
            [(_, refused)] = self.watch(who, binding, task.id, after=after, enough=1)
            assert refused["error"] in NOT_FOUND
        elif task.expected in TERMINAL:
            whole = self.watch(who, binding, task.id, after=0, enough=10_000)
            numbers = [seq for seq, _ in whole]
            assert numbers == sorted(set(numbers))
            assert _state_of(whole[-1][1]) == task.expected
            if after <= numbers[-1]:
                again = self.watch(who, binding, task.id, after=after, enough=10_000)
                assert [e for e in again if "error" not in e[1]] == [
                    event for event in whole if event[0] > after
                ]

    @precondition(_has_tasks)
    @rule(pick=PICKS, who=PEOPLE, binding=BINDINGS, name=st.sampled_from(["one", "two", "x/y"]))
    def make_config(self, pick: int, who: str, binding: str, name: str) -> None:
        owner, task = self.any_task(pick)
        # nobody listens there
        url = f"http://127.0.0.1:9/{uuid.uuid4().hex}"
        params = {"taskId": task.id, "id": name, "url": url}
        found = self.ask(who, binding, "CreateTaskPushNotificationConfig", params)
        if who != owner:
            assert found["error"] in NOT_FOUND
        else:
            assert (found["taskId"], found["id"], found["url"]) == (task.id, name, url)
            task.configs[name] = url

    @precondition(_has_tasks)
    @rule(pick=PICKS, who=PEOPLE, binding=BINDINGS, name=st.sampled_from(["one", "two"]))
    def get_config(self, pick: int, who: str, binding: str, name: str) -> None:
        owner, task = self.any_task(pick)
        params = {"taskId": task.id, "id": name}
        found = self.ask(who, binding, "GetTaskPushNotificationConfig", params)
        if who != owner or name not in task.configs:
            assert found["error"] in NOT_FOUND
        else:
            assert found["url"] == task.configs[name]

    @precondition(_has_tasks)
    @rule(pick=PICKS, who=PEOPLE, binding=BINDINGS)
    def list_configs(self, pick: int, who: str, binding: str) -> None:
        owner, task = self.any_task(pick)
        params: Json = {"taskId": task.id, "pageSize": 1}
        listed: dict[str, str] = {}
        while True:
            found = self.ask(who, binding, "ListTaskPushNotificationConfigs", params)
            if who != owner:
                assert found["error"] in NOT_FOUND
                return
            for one in found.get("configs", []):
                assert one["id"] not in listed
                listed[one["id"]] = one["url"]
            if not found.get("nextPageToken"):
                break
            params["pageToken"] = found["nextPageToken"]
        assert listed == task.configs

    @precondition(_has_tasks)
    @rule(pick=PICKS, who=PEOPLE, binding=BINDINGS, name=st.sampled_from(["one", "two"]))
    def delete_config(self, pick: int, who: str, binding: str, name: str) -> None:
        owner, task = self.any_task(pick)
        params = {"taskId": task.id, "id": name}
        found = self.ask(who, binding, "DeleteTaskPushNotificationConfig", params)
        if who != owner:
            assert found["error"] in NOT_FOUND
        else:
            assert "error" not in found
            task.configs.pop(name, None)

    @invariant()
    def what_has_ended_is_as_it_was(self) -> None:
        for who, tasks in self.tasks.items():
            for task in tasks[-1:]:
                if task.shown is not None:
                    found = self.ask(who, "rest", "GetTask", {"id": task.id})
                    assert found == task.shown

    def teardown(self) -> None:
        for who in self.tasks:
            self.list_all(who, "rpc", 5, 0)
            for task in self.tasks[who]:
                if task.expected not in TERMINAL:
                    self.ask(who, "rpc", "CancelTask", {"id": task.id})


def _state_of(body: Json) -> str:
    held = body.get("task") or body.get("statusUpdate") or {}
    state: str = held.get("status", {}).get("state", "")
    return state.removeprefix("TASK_STATE_")


def test_operations_in_any_order(tmp_path: Path) -> None:
    with gateway(tmp_path) as gate:
        run_state_machine_as_test(
            type("OverHttp", (Operations,), {"gate": gate}),
            settings=settings(
                max_examples=35,
                stateful_step_count=30,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
