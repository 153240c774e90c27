"""How streams over gRPC end: by either side, by neither, by the clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from a2a.types import (
    ListTasksRequest,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.types.a2a_pb2_grpc import A2AServiceStub
from grpc_calls import V1, goal, outcome, refusal, watched_by_nobody, watchers

from codin.gateway.grpc import GrpcLimits, GrpcServer
from codin.security import LOCAL_USER
from codin.testing.serving import Served

pytestmark = pytest.mark.slow


@pytest.fixture
async def server(served: Served) -> AsyncIterator[GrpcServer]:
    async with GrpcServer(served.parts, port=0) as server:
        yield server


@pytest.fixture
async def stub(server: GrpcServer) -> AsyncIterator[A2AServiceStub]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield A2AServiceStub(channel)


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
            assert "subscribe to the task again" in str(error.details())
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
        assert watchers(served, task_id) == 1
        wire.cut()
        await watched_by_nobody(served, task_id)
        assert not (await served.log.task(LOCAL_USER, task_id)).ended
