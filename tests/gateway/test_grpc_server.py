"""Whom the gRPC server answers, where it listens, and how much it takes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import grpc
import pytest
from a2a.types import (
    GetTaskRequest,
    ListTasksRequest,
    SubscribeToTaskRequest,
    a2a_pb2,
)
from a2a.types.a2a_pb2_grpc import A2AServiceStub
from certificates import certificate
from grpc_calls import V1, answered, goal, reason_of, refusal

from codin.gateway.auth import Authenticator, Caller
from codin.gateway.errors import AddressInUse, Unauthenticated, UnsafeAddress
from codin.gateway.grpc import GrpcLimits, GrpcServer
from codin.security import LOCAL_USER, Principal
from codin.testing.serving import Served


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


async def test_a_server_that_was_stopped_can_start_again(served: Served) -> None:
    server = GrpcServer(served.parts, port=0)
    for _ in range(2):
        async with server, grpc.aio.insecure_channel(server.address) as channel:
            assert await answered(A2AServiceStub(channel))


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
        card = served.parts.cards.public(served.parts.orchestrator.info, "http://x/")
        assert card.supported_interfaces[-1].url == "agents.example.org:443"
        target = f"localhost:{server.address.rpartition(':')[2]}"
        trusted = grpc.ssl_channel_credentials(chain)
        async with grpc.aio.secure_channel(target, trusted) as channel:
            key_one = (*V1, ("authorization", "Bearer one"))
            await A2AServiceStub(channel).ListTasks(ListTasksRequest(), metadata=key_one)
        async with grpc.aio.insecure_channel(target) as channel:
            error = await refusal(A2AServiceStub(channel).ListTasks(ListTasksRequest()))
            assert error.code() == grpc.StatusCode.UNAVAILABLE
