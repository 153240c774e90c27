"""What gRPC calls may do wrong, and what they are told."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from a2a.compat.v0_3 import a2a_v0_3_pb2, a2a_v0_3_pb2_grpc
from a2a.types import (
    DeleteTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTasksRequest,
    a2a_pb2,
)
from a2a.types.a2a_pb2_grpc import A2AServiceStub
from grpc_calls import V1, goal, outcome, reason_of, refusal

from codin.gateway.grpc import GrpcServer
from codin.task.handler import AgentRequestHandler
from codin.testing.serving import Served

pytestmark = pytest.mark.slow

SEND = "/lf.a2a.v1.A2AService/SendMessage"


STREAM = "/lf.a2a.v1.A2AService/SendStreamingMessage"


@pytest.fixture
async def server(served: Served) -> AsyncIterator[GrpcServer]:
    async with GrpcServer(served.parts, port=0) as server:
        yield server


@pytest.fixture
async def channel(server: GrpcServer) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> A2AServiceStub:
    return A2AServiceStub(channel)


async def test_other_versions_are_refused(stub: A2AServiceStub) -> None:
    for version in ("", " ", "0.3", "2.0", "99.0", "1", "1.1", "one", "1.0, 1.0"):
        for call in (stub.SendMessage, stub.SendStreamingMessage):
            error = await refusal(call(goal(), metadata=(("a2a-version", version),)))
            assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, version
            assert reason_of(error) == "VERSION_NOT_SUPPORTED"


async def test_no_version_means_0_3_and_a_patch_means_nothing(stub: A2AServiceStub) -> None:
    error = await refusal(stub.ListTasks(ListTasksRequest()))
    assert reason_of(error) == "VERSION_NOT_SUPPORTED"
    await stub.ListTasks(ListTasksRequest(), metadata=(("a2a-version", "1.0.1"),))
    twice = (("a2a-version", "1.0"), ("a2a-version", "0.3"))
    error = await refusal(stub.ListTasks(ListTasksRequest(), metadata=twice))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION


MALFORMED = {
    "cut short": b"\x12\xff",
    "no message at all": b"\xff\xff\xff\xff",
    "text that is no UTF-8": b"\x0a\x02\xff\xfe",
    "an empty message": b"",
    "an id of another type": b"\x08\x01",
}


async def test_malformed_requests_are_invalid(
    channel: grpc.aio.Channel, caplog: pytest.LogCaptureFixture
) -> None:
    for what, raw in MALFORMED.items():
        for call in (channel.unary_unary(SEND), channel.unary_stream(STREAM)):
            error = await refusal(call(raw, metadata=V1))
            assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, what
            assert reason_of(error) in {"INVALID_REQUEST", "INVALID_PARAMS"}
    assert caplog.messages == []  # a client's fault is none of the operator's business


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field as protobuf writes it."""
    size, length = len(payload), bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes((number << 3 | 2, *length, size)) + payload


async def test_nesting_without_end_is_invalid(channel: grpc.aio.Channel) -> None:
    value = b""
    for _ in range(10_000):
        value = field(6, field(1, value))  # Value.list_value, ListValue.values
    metadata = field(3, field(1, field(1, b"key") + field(2, value)))
    raw = goal().SerializeToString() + metadata
    error = await refusal(channel.unary_unary(SEND)(raw, metadata=V1))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(error) == "INVALID_REQUEST"


async def test_a_method_that_is_none(channel: grpc.aio.Channel) -> None:
    for path in ("/lf.a2a.v1.A2AService/DropTables", "/elsewhere/SendMessage", "/"):
        error = await refusal(channel.unary_unary(path)(b"", metadata=V1))
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_a_message_beyond_the_bound_is_refused_and_the_server_goes_on(
    stub: A2AServiceStub,
) -> None:
    error = await refusal(stub.SendMessage(goal("x" * 1_100_000), metadata=V1))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    error = await refusal(stub.SendMessage(goal("x" * 300_000), metadata=V1))
    assert reason_of(error) == "INVALID_PARAMS"
    await stub.ListTasks(ListTasksRequest(), metadata=V1)


async def test_huge_and_strange_ids_are_unknown_ones(stub: A2AServiceStub) -> None:
    for name in ("nope", "'; DROP TABLE task; --", "../../etc/passwd", "\x00", "é" * 100_000):
        error = await refusal(stub.GetTask(GetTaskRequest(id=name), metadata=V1))
        assert error.code() == grpc.StatusCode.NOT_FOUND, name
        assert reason_of(error) == "TASK_NOT_FOUND"
        error = await refusal(stub.GetTask(GetTaskRequest(id="x", tenant=name), metadata=V1))
        assert reason_of(error) == "INVALID_PARAMS"


async def test_metadata_is_bounded(stub: A2AServiceStub) -> None:
    big = (*V1, ("x-filler", "x" * 40_000))
    error = await refusal(stub.ListTasks(ListTasksRequest(), metadata=big))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_what_fails_inside_stays_inside(
    stub: A2AServiceStub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(AgentRequestHandler, "on_get_task", broken)
    error = await refusal(stub.GetTask(GetTaskRequest(id="x"), metadata=V1))
    assert error.code() == grpc.StatusCode.INTERNAL
    assert "hunter2" not in str(error)
    assert any("hunter2" in message for message in caplog.messages)


@pytest.fixture(scope="module")
def noise() -> list[tuple[str, bytes]]:
    """Requests that are almost right: real ones with bytes changed, cut and doubled."""
    chance = random.Random(7)
    real = goal("hello").SerializeToString()
    names = [method.name for method in a2a_pb2.DESCRIPTOR.services_by_name["A2AService"].methods]
    found = []
    for number in range(150):
        raw = bytearray(real)
        for _ in range(chance.randint(0, 2)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        if chance.random() < 0.3:
            raw = raw[: chance.randrange(len(raw) + 1)] * chance.randint(1, 2)
        found.append((names[number % len(names)], bytes(raw)))
    return found


async def test_whatever_comes_is_no_failure_of_ours(
    channel: grpc.aio.Channel, noise: list[tuple[str, bytes]]
) -> None:
    fine = {
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
    seen = set()
    for name, raw in noise:
        call = channel.unary_stream(f"/lf.a2a.v1.A2AService/{name}")(raw, metadata=V1, timeout=0.1)
        with contextlib.suppress(grpc.aio.AioRpcError):
            await outcome(call)
        assert await call.code() in fine, (name, raw, await call.details())
        seen.add(await call.code())
    assert len(seen) >= 4  # it is not all refused at the door


async def test_push_is_refused_as_a2a_says(stub: A2AServiceStub) -> None:
    request = DeleteTaskPushNotificationConfigRequest(task_id="t", id="c")
    error = await refusal(stub.DeleteTaskPushNotificationConfig(request, metadata=V1))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(error) == "PUSH_NOTIFICATION_NOT_SUPPORTED"


async def test_a_client_of_0_3_is_served(served: Served, channel: grpc.aio.Channel) -> None:
    stub = a2a_v0_3_pb2_grpc.A2AServiceStub(channel)
    message = a2a_v0_3_pb2.Message(
        message_id="m1", role=a2a_v0_3_pb2.ROLE_USER, content=[a2a_v0_3_pb2.Part(text="Which?")]
    )
    request = a2a_v0_3_pb2.SendMessageRequest(
        request=message, configuration=a2a_v0_3_pb2.SendMessageConfiguration(blocking=True)
    )
    scout = (("a2a-tenant", "scout"),)
    answer = await stub.SendMessage(request, metadata=scout)
    assert answer.task.status.state == a2a_v0_3_pb2.TASK_STATE_COMPLETED
    message.message_id = "m2"
    request = a2a_v0_3_pb2.SendMessageRequest(request=message)
    events = [e async for e in stub.SendStreamingMessage(request, metadata=scout)]
    assert events[0].HasField("task")
    assert events[-1].status_update.status.state == a2a_v0_3_pb2.TASK_STATE_COMPLETED
    error = await refusal(stub.GetTask(a2a_v0_3_pb2.GetTaskRequest(name="tasks/nope")))
    assert reason_of(error) == "TASK_NOT_FOUND"
    error = await refusal(stub.SendMessage(request, metadata=V1))
    assert reason_of(error) == "VERSION_NOT_SUPPORTED"


async def test_0_3_can_be_left_out(served: Served) -> None:
    async with (
        GrpcServer(served.parts, port=0, old_clients=False) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        stub = a2a_v0_3_pb2_grpc.A2AServiceStub(channel)
        error = await refusal(stub.GetTask(a2a_v0_3_pb2.GetTaskRequest(name="tasks/nope")))
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED
