"""A stream over gRPC can be taken up where it broke, as the extension on the card says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from a2a.types import (
    GetExtendedAgentCardRequest,
    GetTaskRequest,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.types.a2a_pb2_grpc import A2AServiceStub

from codin.agent.a2a import user_message
from codin.agent.cards import RESUME_EXTENSION
from codin.gateway.grpc import GrpcServer
from codin.security import LOCAL_USER
from codin.testing.serving import Served

pytestmark = pytest.mark.slow

V1 = (("a2a-version", "1.0"),)
RESUMABLE = (*V1, ("a2a-extensions", RESUME_EXTENSION))


@pytest.fixture
async def stub(served: Served) -> AsyncIterator[A2AServiceStub]:
    async with (
        GrpcServer(served.parts, port=0, web_url=served.url) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield A2AServiceStub(channel)


def goal(text: str = "Which region leads?") -> SendMessageRequest:
    return SendMessageRequest(message=user_message(text))


def seq_of(event: StreamResponse) -> int:
    inside = getattr(event, event.WhichOneof("payload"))
    return int(inside.metadata[RESUME_EXTENSION])


def after(seq: int | str) -> tuple[tuple[str, str], ...]:
    return (*RESUMABLE, ("last-event-id", str(seq)))


async def trailing(call: Any) -> dict[str, str]:
    return dict(await call.trailing_metadata())


async def test_events_have_numbers_for_who_asks_only(stub: A2AServiceStub) -> None:
    call = stub.SendStreamingMessage(goal(), metadata=RESUMABLE)
    numbers = [seq_of(event) async for event in call]
    assert numbers[0] == 1
    assert numbers == sorted(set(numbers))
    assert (await trailing(call))["last-event-id"] == str(numbers[-1])
    plain = [event async for event in stub.SendStreamingMessage(goal(), metadata=V1)]
    for event in plain:
        assert RESUME_EXTENSION not in getattr(event, event.WhichOneof("payload")).metadata


async def test_what_was_missed_is_replayed_exactly_also_after_the_end(
    served: Served, stub: A2AServiceStub
) -> None:
    whole = [event async for event in stub.SendStreamingMessage(goal(), metadata=RESUMABLE)]
    task_id = whole[0].task.id
    request = SubscribeToTaskRequest(id=task_id)
    for index in (0, 1, len(whole) // 2, len(whole) - 2):
        seen = seq_of(whole[index])
        rest = [event async for event in stub.SubscribeToTask(request, metadata=after(seen))]
        assert rest == whole[index + 1 :]
    last = seq_of(whole[-1])
    assert [event async for event in stub.SubscribeToTask(request, metadata=after(last))] == []
    # another gateway over the same log knows as much
    async with (
        GrpcServer(served.parts, port=0) as other,
        grpc.aio.insecure_channel(other.address) as channel,
    ):
        elsewhere = A2AServiceStub(channel).SubscribeToTask(request, metadata=after(1))
        assert [event async for event in elsewhere] == whole[1:]


async def test_a_broken_stream_goes_on_without_gap_or_double(stub: A2AServiceStub) -> None:
    call = stub.SendStreamingMessage(goal(), metadata=RESUMABLE)
    seen = [await call.read() for _ in range(3)]
    call.cancel()
    request = SubscribeToTaskRequest(id=seen[0].task.id)
    rest = stub.SubscribeToTask(request, metadata=after(seq_of(seen[-1])))
    seen += [event async for event in rest]
    whole = stub.SubscribeToTask(request, metadata=after(seq_of(seen[0])))
    assert seen[1:] == [event async for event in whole]
    assert seen[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED


async def test_a_stopped_gateway_says_where_to_go_on(served: Served) -> None:
    server = GrpcServer(served.parts, port=0)
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = A2AServiceStub(channel).SendStreamingMessage(goal("hang on"), metadata=RESUMABLE)
        seen = [await call.read() for _ in range(4)]
        await asyncio.sleep(0.5)
        await server.stop()
        while (event := await _read(call)) is not None:
            seen.append(event)
        assert await call.code() == grpc.StatusCode.UNAVAILABLE
        assert (await trailing(call))["last-event-id"] == str(seq_of(seen[-1]))
    task_id = seen[0].task.id
    assert not (await served.log.task(LOCAL_USER, task_id)).ended
    async with (
        GrpcServer(served.parts, port=0) as again,
        grpc.aio.insecure_channel(again.address) as channel,
    ):
        stub = A2AServiceStub(channel)
        resumed = stub.SubscribeToTask(
            SubscribeToTaskRequest(id=task_id), metadata=after(seq_of(seen[1]))
        )
        for event in seen[2:]:
            assert await resumed.read() == event
        task = await stub.GetTask(GetTaskRequest(id=task_id), metadata=V1)
        assert task.status.state == TaskState.TASK_STATE_WORKING


async def _read(call: Any) -> StreamResponse | None:
    try:
        event = await call.read()
    except grpc.aio.AioRpcError:
        return None
    return None if event is grpc.aio.EOF else event


async def test_a_number_that_no_stream_gave_is_refused(stub: A2AServiceStub) -> None:
    [task] = [e.task async for e in stub.SendStreamingMessage(goal(), metadata=V1) if e.task.id]
    request = SubscribeToTaskRequest(id=task.id)
    for wrong in ("x", "-1", "1.5", "9" * 40, "999999", ""):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.SubscribeToTask(request, metadata=after(wrong)).read()
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT, wrong


async def test_without_the_extension_an_ended_task_has_no_stream(stub: A2AServiceStub) -> None:
    [task] = [e.task async for e in stub.SendStreamingMessage(goal(), metadata=V1) if e.task.id]
    metadata = (*V1, ("last-event-id", "1"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.SubscribeToTask(SubscribeToTaskRequest(id=task.id), metadata=metadata).read()
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION


async def test_the_extended_card_names_both_faces(served: Served, stub: A2AServiceStub) -> None:
    for tenant, path in {"": "", "scout": "/agents/scout"}.items():
        request = GetExtendedAgentCardRequest(tenant=tenant)
        card = await stub.GetExtendedAgentCard(request, metadata=V1)
        found = {(one.protocol_binding, one.url.rstrip("/")) for one in card.supported_interfaces}
        assert ("JSONRPC", served.url + path) in found
        [address] = {url for binding, url in found if binding == "GRPC"}
        [tenant_on_card] = {
            one.tenant for one in card.supported_interfaces if one.protocol_binding == "GRPC"
        }
        assert (tenant_on_card, "://" in address) == (tenant, False)
