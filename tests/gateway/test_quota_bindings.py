"""Each limit bites over each binding, says its name, and lets go again."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from a2a.compat.v0_3 import a2a_v0_3_pb2
from a2a.types import GetTaskRequest
from a2a.types.a2a_pb2_grpc import A2AServiceStub
from a2a_calls import V1, message, rpc
from google.rpc import error_details_pb2, status_pb2
from grpc_calls import V1 as GRPC_V1
from grpc_calls import goal

from codin.config import LimitSettings
from codin.gateway.app import create_app
from codin.gateway.auth import BearerAuthenticator
from codin.gateway.grpc import GrpcServer
from codin.gateway.quota import Quota
from codin.gateway.server import HttpServer
from codin.security import LOCAL_USER, KeyRequest, SecurityStore
from codin.testing.serving import AUDIENCE, serve_agents
from codin.testing.team import TEAM, FixedPlanner

pytestmark = pytest.mark.slow

HANG = "hang on a while"
OLD_GRPC = "/a2a.v1.A2AService/"


@dataclass(frozen=True)
class Answer:
    """What a caller was told, over whatever binding. ``limit`` is that which it named."""

    refused: bool
    sentence: str = ""
    retry_after: int = 0


def of_http(answer: httpx.Response) -> Answer:
    if answer.status_code != 429:
        assert answer.status_code < 400, answer.text
        assert "error" not in answer.json(), answer.text
        return Answer(refused=False)
    error = answer.json()["error"]
    return Answer(True, error["message"], int(answer.headers["retry-after"]))


def of_grpc(error: grpc.aio.AioRpcError) -> Answer:
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error
    raw = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    [detail] = status_pb2.Status.FromString(raw).details
    info = error_details_pb2.RetryInfo()
    detail.Unpack(info)
    return Answer(True, error.details() or "", info.retry_delay.seconds)


class Way:
    """A binding by which a goal is begun, asked for, and followed."""

    def __init__(self, http: httpx.AsyncClient, channel: grpc.aio.Channel) -> None:
        self.http = http
        self.stub = A2AServiceStub(channel)
        self.channel = channel

    async def get(self) -> Answer:
        raise NotImplementedError

    async def begin(self) -> Answer:
        raise NotImplementedError

    @asynccontextmanager
    async def stream(self, task_id: str) -> AsyncIterator[Answer]:
        raise NotImplementedError
        yield

    async def _posted(self, path: str, body: Any, headers: dict[str, str]) -> Answer:
        return of_http(await self.http.post(path, json=body, headers=headers))

    @asynccontextmanager
    async def _streamed(
        self, verb: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> AsyncIterator[Answer]:
        async with self.http.stream(verb, path, json=body, headers=headers) as answer:
            if answer.headers["content-type"].startswith("text/event-stream"):
                yield Answer(refused=False)
            else:
                await answer.aread()
                yield of_http(answer)


class Rpc(Way):
    async def get(self) -> Answer:
        return await self._posted("/", rpc("ListTasks", {}, "mine"), V1)

    async def begin(self) -> Answer:
        asked = {"message": message(HANG), "configuration": {"returnImmediately": True}}
        answer = await self.http.post("/", json=rpc("SendMessage", asked, "mine"), headers=V1)
        assert answer.json()["id"] == "mine"
        return of_http(answer)

    @asynccontextmanager
    async def stream(self, task_id: str) -> AsyncIterator[Answer]:
        body = rpc("SubscribeToTask", {"id": task_id})
        async with self._streamed("POST", "/", body, V1) as answer:
            yield answer


class Rest(Way):
    async def get(self) -> Answer:
        return of_http(await self.http.get("/tasks", headers=V1))

    async def begin(self) -> Answer:
        asked = {"message": message(HANG), "configuration": {"returnImmediately": True}}
        return await self._posted("/message:send", asked, V1)

    @asynccontextmanager
    async def stream(self, task_id: str) -> AsyncIterator[Answer]:
        async with self._streamed("GET", f"/tasks/{task_id}:subscribe", headers=V1) as answer:
            yield answer


class Api(Way):
    async def get(self) -> Answer:
        return of_http(await self.http.get("/api/tasks"))

    async def begin(self) -> Answer:
        return await self._posted("/api/goals", {"goal": HANG}, {})

    @asynccontextmanager
    async def stream(self, task_id: str) -> AsyncIterator[Answer]:
        async with self._streamed("GET", f"/api/tasks/{task_id}/events") as answer:
            yield answer


def old_message() -> dict[str, Any]:
    said = {
        "kind": "message",
        "messageId": uuid.uuid4().hex,
        "role": "user",
        "parts": [{"kind": "text", "text": HANG}],
    }
    return {"message": said, "configuration": {"blocking": False}}


class OldRpc(Way):
    async def get(self) -> Answer:
        begun = await self.http.get("/api/tasks")
        if begun.status_code == 429:
            return of_http(begun)
        [first, *_] = begun.json()["tasks"]
        return await self._posted("/", rpc("tasks/get", {"id": first["id"]}), {})

    async def begin(self) -> Answer:
        return await self._posted("/", rpc("message/send", old_message()), {})

    @asynccontextmanager
    async def stream(self, task_id: str) -> AsyncIterator[Answer]:
        body = rpc("tasks/resubscribe", {"id": task_id})
        async with self._streamed("POST", "/", body) as answer:
            yield answer


class OldRest(OldRpc):
    async def begin(self) -> Answer:
        asked = {
            "request": {
                "messageId": uuid.uuid4().hex,
                "role": "ROLE_USER",
                "content": [{"text": HANG}],
            },
            "configuration": {"blocking": False},
        }
        return await self._posted("/v1/message:send", asked, {})

    @asynccontextmanager
    async def stream(self, task_id: str) -> AsyncIterator[Answer]:
        async with self._streamed("POST", f"/v1/tasks/{task_id}:subscribe") as answer:
            yield answer


async def _of_call(call: Awaitable[Any]) -> Answer:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return of_grpc(error)
    return Answer(refused=False)


@asynccontextmanager
async def _of_stream(call: Any) -> AsyncIterator[Answer]:
    try:
        yield await _of_call(call.read())
    finally:
        call.cancel()


class Grpc(Way):
    async def get(self) -> Answer:
        from a2a.types import ListTasksRequest

        return await _of_call(self.stub.ListTasks(ListTasksRequest(), metadata=GRPC_V1))

    async def begin(self) -> Answer:
        return await _of_call(self.stub.SendMessage(goal(HANG, at_once=True), metadata=GRPC_V1))

    @asynccontextmanager
    async def stream(self, task_id: str) -> AsyncIterator[Answer]:
        from a2a.types import SubscribeToTaskRequest

        asked = SubscribeToTaskRequest(id=task_id)
        async with _of_stream(self.stub.SubscribeToTask(asked, metadata=GRPC_V1)) as answer:
            yield answer


class OldGrpc(Grpc):
    async def begin(self) -> Answer:
        said = a2a_v0_3_pb2.Message(
            message_id=uuid.uuid4().hex,
            role="ROLE_USER",
            content=[a2a_v0_3_pb2.Part(text=HANG)],
        )
        at_once = a2a_v0_3_pb2.SendMessageConfiguration(blocking=False)
        asked = a2a_v0_3_pb2.SendMessageRequest(request=said, configuration=at_once)
        call = self.channel.unary_unary(OLD_GRPC + "SendMessage")
        return await _of_call(call(asked.SerializeToString(), timeout=10))

    @asynccontextmanager
    async def stream(self, task_id: str) -> AsyncIterator[Answer]:
        asked = a2a_v0_3_pb2.TaskSubscriptionRequest(name=f"tasks/{task_id}")
        call = self.channel.unary_stream(OLD_GRPC + "TaskSubscription")
        async with _of_stream(call(asked.SerializeToString())) as answer:
            yield answer


WAYS = [Rpc, Rest, Api, Grpc, OldRpc, OldRest, OldGrpc]


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Limited:
    """A gateway over HTTP and gRPC with a running goal, begun before there were limits."""

    http: httpx.AsyncClient
    channel: grpc.aio.Channel
    task_id: str
    clock: Clock
    quota: Quota

    def ways(self, kinds: list[type[Way]]) -> Iterator[Way]:
        """Each way, when what was asked by the others is long past."""
        for kind in kinds:
            self.clock.now += 120
            yield kind(self.http, self.channel)


@asynccontextmanager
async def limited(home: Path, **limits: int) -> AsyncIterator[Limited]:
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(
            serve_agents(home, TEAM, FixedPlanner(), heartbeat_seconds=0.2)
        )
        async with httpx.AsyncClient(base_url=served.url, trust_env=False) as http:
            begun = await http.post("/api/goals", json={"goal": HANG})
        clock = Clock()
        quota = Quota(LimitSettings.model_validate(limits), clock=clock)
        parts = replace(served.parts, quota=quota)
        web = await stack.enter_async_context(HttpServer(create_app(parts), port=0))
        server = await stack.enter_async_context(GrpcServer(parts, port=0))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.address))
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=web.url, trust_env=False, timeout=20)
        )
        yield Limited(http, channel, begun.json()["task_id"], clock, quota)


async def test_tasks_a_minute(tmp_path: Path) -> None:
    async with limited(tmp_path, tasks_per_minute=2) as one:
        for by in one.ways(WAYS):
            answers = [await by.begin() for _ in range(4)]
            assert [answer.refused for answer in answers] == [False, False, True, True], by
            assert "2 new tasks a minute" in answers[-1].sentence
            assert "limits.tasks_per_minute = 2" in answers[-1].sentence
            assert answers[-1].retry_after == 30
            # over any other binding it is the same caller, and what is no task goes on
            assert (await Rest(one.http, one.channel).begin()).refused
            assert (await Grpc(one.http, one.channel).begin()).refused
            assert not (await by.get()).refused
        total = (await one.http.get("/api/tasks")).json()["total"]
        assert total == 1 + 2 * len(WAYS)


async def test_streams_are_counted_from_open_to_close(tmp_path: Path) -> None:
    async with limited(tmp_path, streams=2) as one:
        for by in one.ways(WAYS):
            await until_two_can_be_opened(one, by)
            async with by.stream(one.task_id) as first, by.stream(one.task_id) as second:
                assert not first.refused
                assert not second.refused
                async with by.stream(one.task_id) as third:
                    assert third.refused, by
                    assert "2 streams of yours are open" in third.sentence
                    assert "limits.streams = 2" in third.sentence
                    assert third.retry_after == 1
                async with Api(one.http, one.channel).stream(one.task_id) as elsewhere:
                    assert elsewhere.refused
                assert not (await by.get()).refused
        await until_two_can_be_opened(one, by)


async def until_two_can_be_opened(one: Limited, by: Way) -> None:
    """Streams that are closed are let go once the server has seen that they are."""
    async with asyncio.timeout(5):
        while True:
            async with by.stream(one.task_id) as first, by.stream(one.task_id) as second:
                if not first.refused and not second.refused:
                    break
            await asyncio.sleep(0.01)
        while one.quota.open:
            await asyncio.sleep(0.01)


async def test_requests_a_second(tmp_path: Path) -> None:
    async with limited(tmp_path, requests_per_second=4) as one:
        for by in one.ways([Rpc, Rest, Api, Grpc]):
            answers = [await by.get() for _ in range(8)]
            assert [answer.refused for answer in answers] == [False] * 4 + [True] * 4, by
            assert "no more than 4 requests a second" in answers[-1].sentence
            assert "limits.requests_per_second = 4" in answers[-1].sentence
            assert answers[-1].retry_after == 1
            one.clock.now += 1
            assert not (await by.get()).refused


async def test_requests_under_way(tmp_path: Path) -> None:
    async with limited(tmp_path, requests=1) as one:
        waiting = asyncio.create_task(
            one.http.post("/message:send", json={"message": message(HANG)}, headers=V1)
        )
        async with asyncio.timeout(5):
            while not one.quota.open:
                await asyncio.sleep(0.01)
        for by in one.ways([Rpc, Rest, Api, Grpc]):
            told = await by.get()
            assert told.refused, by
            assert "1 requests of yours are under way" in told.sentence
            assert "limits.requests = 1" in told.sentence
        waiting.cancel()
        async with asyncio.timeout(5):
            while (await Rest(one.http, one.channel).get()).refused:
                await asyncio.sleep(0.05)


async def test_the_shapes_of_a_refusal(tmp_path: Path) -> None:
    async with limited(tmp_path, requests_per_second=1) as one:
        await one.http.get("/api/about")
        early = await one.http.post("/", json=rpc("ListTasks", {}, 7), headers=V1)
        assert (early.status_code, early.json()["id"]) == (429, None)
        assert early.json()["error"]["code"] == -32029
        info, retry = early.json()["error"]["data"]
        assert info["reason"] == "LIMIT_REACHED"
        assert info["metadata"] == {"limit": "requests_per_second", "allowed": "1"}
        assert retry["retryDelay"] == "1s"
        rest = await one.http.get("/agents/scout/tasks", headers=V1)
        assert (rest.status_code, rest.json()["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
        page = await one.http.get("/api/tasks")
        assert (page.status_code, page.json()["error"]["code"]) == (429, "limit_reached")
        assert page.headers["x-content-type-options"] == "nosniff"
        # a gateway whose caller takes all it may is alive
        for path in ("/healthz", "/readyz"):
            assert (await one.http.get(path)).status_code == 200


async def test_in_a_batch_each_task_is_counted(tmp_path: Path) -> None:
    async with limited(tmp_path, tasks_per_minute=2) as one:
        asked = {"configuration": {"returnImmediately": True}}
        batch = [
            rpc("SendMessage", {**asked, "message": message(HANG)}, number) for number in range(4)
        ]
        answer = await one.http.post("/", json=batch, headers=V1)
        assert answer.status_code == 200
        codes = [found.get("error", {}).get("code", 0) for found in answer.json()]
        assert sorted(codes) == [-32029, -32029, 0, 0]


async def test_nobody_and_wrong_keys_are_counted_by_address(tmp_path: Path) -> None:
    store = SecurityStore(tmp_path / "keys")
    _, key = await store.keys.add(LOCAL_USER, KeyRequest("ann", frozenset({"user"})))
    clock = Clock()
    async with serve_agents(tmp_path, TEAM, FixedPlanner()) as served:
        parts = replace(
            served.parts,
            authenticator=BearerAuthenticator(store.bearers(AUDIENCE)),
            quota=Quota(LimitSettings(anonymous_per_second=3), clock=clock),
        )
        async with (
            HttpServer(create_app(parts), port=0) as web,
            httpx.AsyncClient(base_url=web.url, trust_env=False, timeout=20) as http,
            GrpcServer(parts, port=0) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            wrong = {"authorization": "Bearer wrong"}
            codes = [(await http.get("/api/about", headers=wrong)).status_code for _ in range(5)]
            assert codes == [401, 401, 401, 429, 429]
            page = await http.get("/")
            assert page.status_code == 429
            assert "limits.anonymous_per_second = 3" in page.text
            clock.now += 1
            stub = A2AServiceStub(channel)
            told = []
            for _ in range(5):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await stub.GetTask(GetTaskRequest(id="x"), metadata=GRPC_V1)
                told.append(caught.value.code().name)
            assert told == ["UNAUTHENTICATED"] * 3 + ["RESOURCE_EXHAUSTED"] * 2
            # whoever shares the address and has a key is let in all the while
            good = {"authorization": f"Bearer {key}"}
            for _ in range(5):
                assert (await http.get("/api/about", headers=good)).status_code == 200
    await store.close()
