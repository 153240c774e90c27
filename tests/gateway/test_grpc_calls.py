"""What raw gRPC calls may do wrong, and what they are told."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from a2a.compat.v0_3 import a2a_v0_3_pb2, a2a_v0_3_pb2_grpc
from a2a.types import (
    DeleteTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTasksRequest,
    SendMessageConfiguration,
    SendMessageRequest,
    SubscribeToTaskRequest,
    TaskState,
    a2a_pb2,
)
from a2a.types.a2a_pb2_grpc import A2AServiceStub
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.rpc import error_details_pb2, status_pb2

from codin.agent.a2a import user_message
from codin.gateway.auth import Authenticator, Caller
from codin.gateway.errors import AddressInUse, Unauthenticated, UnsafeAddress
from codin.gateway.grpc import GrpcLimits, GrpcServer
from codin.security import LOCAL_USER, Principal
from codin.task.handler import AgentRequestHandler
from codin.testing.serving import Served

V1 = (("a2a-version", "1.0"),)
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


def goal(text: str = "Which region leads?", *, tenant: str = "", at_once: bool = False) -> Any:
    return SendMessageRequest(
        message=user_message(text),
        tenant=tenant,
        configuration=SendMessageConfiguration(return_immediately=at_once),
    )


async def refusal(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await outcome(call)
    return caught.value


async def outcome(call: Any) -> Any:
    async with asyncio.timeout(15):
        return [one async for one in call] if hasattr(call, "__aiter__") else await call


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """A2A's reason; the status of the details has to be the call's own."""
    details = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(details)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    [info] = [d for d in status.details if d.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)]
    found = error_details_pb2.ErrorInfo()
    info.Unpack(found)
    assert found.domain == "a2a-protocol.org"
    return found.reason


@pytest.mark.parametrize("version", ["", " ", "0.3", "2.0", "99.0", "1", "1.1", "one", "1.0, 1.0"])
async def test_other_versions_are_refused(stub: A2AServiceStub, version: str) -> None:
    for call in (stub.SendMessage, stub.SendStreamingMessage):
        error = await refusal(call(goal(), metadata=(("a2a-version", version),)))
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert reason_of(error) == "VERSION_NOT_SUPPORTED"


async def test_no_version_means_0_3_and_a_patch_means_nothing(stub: A2AServiceStub) -> None:
    error = await refusal(stub.ListTasks(ListTasksRequest()))
    assert reason_of(error) == "VERSION_NOT_SUPPORTED"
    await stub.ListTasks(ListTasksRequest(), metadata=(("a2a-version", "1.0.1"),))
    twice = (("a2a-version", "1.0"), ("a2a-version", "0.3"))
    error = await refusal(stub.ListTasks(ListTasksRequest(), metadata=twice))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION


class Keyed(Authenticator):
    """Two principals, each with a key."""

    async def authenticate(self, caller: Caller) -> Principal:
        match caller.headers.get("authorization"):
            case "Bearer one":
                return Principal("t1", "ann", roles=LOCAL_USER.roles)
            case "Bearer two":
                return Principal("t2", "bob", roles=LOCAL_USER.roles)
        raise Unauthenticated("a key is needed: send it as authorization")


@pytest.fixture
async def keyed(served: Served) -> AsyncIterator[A2AServiceStub]:
    parts = replace(served.parts, authenticator=Keyed())
    async with (
        GrpcServer(parts, port=0) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield A2AServiceStub(channel)


async def test_every_operation_asks_who_calls(keyed: A2AServiceStub) -> None:
    methods = a2a_pb2.DESCRIPTOR.services_by_name["A2AService"].methods
    assert len(methods) == 11
    credentials = ((), (("authorization", "Bearer one"), ("authorization", "Bearer two")))
    for method in methods:
        request = getattr(a2a_pb2, method.input_type.name, None)
        assert request is not None
        for given in credentials:
            error = await refusal(getattr(keyed, method.name)(request(), metadata=(*V1, *given)))
            assert error.code() == grpc.StatusCode.UNAUTHENTICATED, method.name
            assert error.details() == "a key is needed: send it as authorization"


async def test_a_task_is_its_owners_only(keyed: A2AServiceStub) -> None:
    ann, bob = ((*V1, ("authorization", f"Bearer {key}")) for key in ("one", "two"))
    task = (await keyed.SendMessage(goal(at_once=True), metadata=ann)).task
    await keyed.GetTask(GetTaskRequest(id=task.id), metadata=ann)
    for call, request in (
        (keyed.GetTask, GetTaskRequest(id=task.id)),
        (keyed.SubscribeToTask, SubscribeToTaskRequest(id=task.id)),
        (keyed.CancelTask, a2a_pb2.CancelTaskRequest(id=task.id)),
    ):
        error = await refusal(call(request, metadata=bob))
        assert error.code() == grpc.StatusCode.NOT_FOUND
        assert reason_of(error) == "TASK_NOT_FOUND"
    assert not (await keyed.ListTasks(ListTasksRequest(), metadata=bob)).tasks


async def test_callers_of_other_machines_are_nobody(served: Served) -> None:
    with pytest.raises(Unauthenticated):
        await served.parts.authenticator.authenticate(Caller({}, "192.0.2.7"))
    with pytest.raises(UnsafeAddress, match="TLS"):
        await GrpcServer(served.parts, host="0.0.0.0", port=0).start()
    with pytest.raises(UnsafeAddress):
        await GrpcServer(served.parts, host="example.org", port=0).start()


async def test_it_serves_ipv6_and_no_port_twice(served: Served) -> None:
    async with GrpcServer(served.parts, host="::1", port=0) as server:
        assert server.address.startswith("[::1]:")
        async with grpc.aio.insecure_channel(server.address) as channel:
            await A2AServiceStub(channel).ListTasks(ListTasksRequest(), metadata=V1)
        port = int(server.address.rpartition(":")[2])
        with pytest.raises(AddressInUse, match=str(port)):
            await GrpcServer(served.parts, host="::1", port=port).start()


MALFORMED = {
    "cut short": b"\x12\xff",
    "no message at all": b"\xff\xff\xff\xff",
    "text that is no UTF-8": b"\x0a\x02\xff\xfe",
    "an empty message": b"",
    "an id of another type": b"\x08\x01",
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED.keys())
async def test_malformed_requests_are_invalid(
    channel: grpc.aio.Channel, raw: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    unary = channel.unary_unary(SEND)
    stream = channel.unary_stream(STREAM)
    for call in (unary, stream):
        error = await refusal(call(raw, metadata=V1))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
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


class Wire:
    """A connection through which nothing comes any more once it is cut, and nobody is told."""

    def __init__(self, server: GrpcServer) -> None:
        self._port = int(server.address.rpartition(":")[2])
        self._cut = False
        self._pumps: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Wire:
        self._listener = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def cut(self) -> None:
        self._cut = True

    async def _join(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, forth = await asyncio.open_connection("127.0.0.1", self._port)
        self._pumps.add(asyncio.create_task(self._pump(near, forth)))
        self._pumps.add(asyncio.create_task(self._pump(far, back)))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            if not self._cut:
                sink.write(data)


async def finished(served: Served, task_id: str) -> str:
    async with asyncio.timeout(10):
        await served.manager.runner.wait(task_id)
    return (await served.log.task(LOCAL_USER, task_id)).state


async def test_a_task_goes_on_when_its_stream_is_cancelled(
    served: Served, stub: A2AServiceStub
) -> None:
    stream = stub.SendStreamingMessage(goal(), metadata=V1)
    task_id = (await stream.read()).task.id
    watcher = aiter(stub.SubscribeToTask(SubscribeToTaskRequest(id=task_id), metadata=V1))
    assert (await anext(watcher)).task.id == task_id
    stream.cancel()
    rest = await outcome(watcher)
    assert rest[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED
    assert await finished(served, task_id) == "TASK_STATE_COMPLETED"
    await watched_by_nobody(served, task_id)


async def watched_by_nobody(served: Served, task_id: str) -> None:
    async with asyncio.timeout(5):
        while served.log.notifier._waiting.get(task_id):  # type: ignore[attr-defined]
            await asyncio.sleep(0.01)


async def test_a_deadline_ends_the_call_and_not_the_task(
    served: Served, stub: A2AServiceStub
) -> None:
    error = await refusal(stub.SendMessage(goal("hang on"), metadata=V1, timeout=1))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    [task] = (await stub.ListTasks(ListTasksRequest(), metadata=V1)).tasks
    assert task.status.state == TaskState.TASK_STATE_WORKING
    await watched_by_nobody(served, task.id)
    error = await refusal(
        stub.SubscribeToTask(SubscribeToTaskRequest(id=task.id), metadata=V1, timeout=0.3)
    )
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await watched_by_nobody(served, task.id)


async def test_a_stop_ends_many_streams_at_once(served: Served) -> None:
    server = GrpcServer(served.parts, port=0)
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = A2AServiceStub(channel)
        task = (await stub.SendMessage(goal("hang on", at_once=True), metadata=V1)).task
        request = SubscribeToTaskRequest(id=task.id)
        streams = [aiter(stub.SubscribeToTask(request, metadata=V1)) for _ in range(200)]
        for stream in streams:
            assert (await anext(stream)).task.id == task.id
        waiting = stub.SendMessage(goal("hang on"), metadata=V1)
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await server.stop()
        assert time.monotonic() - began < 2.5
        for call in (*streams, waiting):
            error = await refusal(call)
            assert error.code() == grpc.StatusCode.UNAVAILABLE
            assert "the task goes on" in str(error.details())
    await watched_by_nobody(served, task.id)
    await server.stop()  # twice does nothing
    assert not (await served.log.task(LOCAL_USER, task.id)).ended


NARROW = [("grpc.http2.lookahead_bytes", 16_384), ("grpc.http2.bdp_probe", 0)]


async def test_who_does_not_read_loses_the_stream(served: Served) -> None:
    limits = GrpcLimits(write=0.3)
    server = GrpcServer(served.parts, port=0, limits=limits)
    await server.start()
    async with grpc.aio.insecure_channel(server.address, options=NARROW) as channel:
        stub = A2AServiceStub(channel)
        text = "hang on " + "x" * 200_000
        late, never = (stub.SendStreamingMessage(goal(text), metadata=V1) for _ in range(2))
        async with asyncio.timeout(10):
            while len((await stub.ListTasks(ListTasksRequest(), metadata=V1)).tasks) < 2:
                await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        for task in (await stub.ListTasks(ListTasksRequest(), metadata=V1)).tasks:
            await watched_by_nobody(served, task.id)
        error = await refusal(late)
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "subscribe to it again" in str(error.details())
        began = time.monotonic()
        await server.stop()
        assert time.monotonic() - began < 2.5
        assert not never.done()


async def test_a_client_that_fell_silent_is_let_go(served: Served) -> None:
    limits = GrpcLimits(keepalive=0.3, keepalive_timeout=0.3)
    async with (
        GrpcServer(served.parts, port=0, limits=limits) as server,
        Wire(server) as wire,
        grpc.aio.insecure_channel(wire.address) as channel,
    ):
        stub = A2AServiceStub(channel)
        stream = stub.SendStreamingMessage(goal("hang on"), metadata=V1)
        task_id = (await stream.read()).task.id
        await asyncio.sleep(1)  # longer than the server waits for a sign of life
        assert served.log.notifier._waiting.get(task_id)  # type: ignore[attr-defined]
        wire.cut()
        await watched_by_nobody(served, task_id)
        assert not (await served.log.task(LOCAL_USER, task_id)).ended


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


async def test_calls_are_bounded(served: Served) -> None:
    async with (
        GrpcServer(served.parts, port=0, limits=GrpcLimits(calls=2)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        stub = A2AServiceStub(channel)
        task_id = (await stub.SendMessage(goal("hang on", at_once=True), metadata=V1)).task.id
        request = SubscribeToTaskRequest(id=task_id)
        streams = [stub.SubscribeToTask(request, metadata=V1) for _ in range(2)]
        for stream in streams:
            await stream.read()
        error = await refusal(stub.ListTasks(ListTasksRequest(), metadata=V1))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        streams[0].cancel()
        async with asyncio.timeout(5):
            while streams[0].done() and not await answered(stub):
                await asyncio.sleep(0.05)


async def answered(stub: A2AServiceStub) -> bool:
    try:
        await stub.ListTasks(ListTasksRequest(), metadata=V1)
    except grpc.aio.AioRpcError:
        return False
    return True


async def test_a_server_that_was_stopped_can_start_again(served: Served) -> None:
    server = GrpcServer(served.parts, port=0)
    for _ in range(2):
        async with server, grpc.aio.insecure_channel(server.address) as channel:
            assert await answered(A2AServiceStub(channel))


def certificate() -> tuple[bytes, bytes]:
    """A key and a certificate of this machine, by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(minutes=5))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return (
        key.private_bytes(pem, private, serialization.NoEncryption()),
        made.public_bytes(pem),
    )


async def test_with_tls_it_serves_other_machines_too(served: Served) -> None:
    key, chain = certificate()
    server = GrpcServer(
        replace(served.parts, authenticator=Keyed()),
        host="0.0.0.0",
        port=0,
        credentials=grpc.ssl_server_credentials([(key, chain)]),
        public_address="agents.example.org:443",
    )
    async with server:
        card = server.cards(served.parts.card)(served.parts.orchestrator.info, "http://x/")
        assert card.supported_interfaces[-1].url == "agents.example.org:443"
        target = f"localhost:{server.address.rpartition(':')[2]}"
        trusted = grpc.ssl_channel_credentials(chain)
        async with grpc.aio.secure_channel(target, trusted) as channel:
            key_one = (*V1, ("authorization", "Bearer one"))
            await A2AServiceStub(channel).ListTasks(ListTasksRequest(), metadata=key_one)
        async with grpc.aio.insecure_channel(target) as channel:
            error = await refusal(A2AServiceStub(channel).ListTasks(ListTasksRequest()))
            assert error.code() == grpc.StatusCode.UNAVAILABLE


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
