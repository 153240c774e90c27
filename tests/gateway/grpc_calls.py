"""Raw gRPC calls, and what they were told."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from a2a.types import (
    ListTasksRequest,
    SendMessageConfiguration,
    SendMessageRequest,
)
from a2a.types.a2a_pb2_grpc import A2AServiceStub
from google.rpc import error_details_pb2, status_pb2

from codin.agent.a2a import user_message
from codin.task.notify import LocalNotifier
from codin.testing.serving import Served

V1 = (("a2a-version", "1.0"),)


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


async def answered(stub: A2AServiceStub) -> bool:
    try:
        await stub.ListTasks(ListTasksRequest(), metadata=V1)
    except grpc.aio.AioRpcError:
        return False
    return True


async def watched_by_nobody(served: Served, task_id: str) -> None:
    async with asyncio.timeout(5):
        while watchers(served, task_id):
            await asyncio.sleep(0.01)


def watchers(served: Served, task_id: str) -> int:
    notifier = served.log.notifier
    assert isinstance(notifier, LocalNotifier)
    return notifier.waiting(task_id)
