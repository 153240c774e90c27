"""Calls under way, and how they end when the server does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from codin.gateway.grpc.refusal import CallEnded, refuse

Behaviour = Callable[[bytes, grpc.aio.ServicerContext], Awaitable[Any]]


class OpenCalls:
    """Keeps the calls under way, turns their errors into statuses, and ends them on request.

    A call that the server ends is told UNAVAILABLE, which gRPC's clients take as "try again": what
    the task's log has by then and later can be picked up from any gateway.
    """

    def __init__(self) -> None:
        self._streams: set[asyncio.Task[Any]] = set()
        self._others: set[asyncio.Task[Any]] = set()
        self._stopping = False

    def kept(self, behaviour: Behaviour, *, stream: bool) -> Behaviour:
        """``behaviour`` as a handler of gRPC; it gets the request as it came, in bytes."""
        among = self._streams if stream else self._others

        async def handle(raw: bytes, rpc: grpc.aio.ServicerContext) -> Any:
            task = asyncio.current_task()
            assert task is not None
            among.add(task)
            try:
                return await behaviour(raw, rpc)
            except asyncio.CancelledError:
                if not self._stopping or rpc.cancelled():
                    raise
                task.uncancel()
                await refuse(rpc, _stopped())
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                await refuse(rpc, error)
            finally:
                among.discard(task)

        return handle

    async def end(self, grace: float) -> None:
        """End the streams at once, and what is left of the rest after ``grace`` seconds."""
        self._stopping = True
        _cancel(self._streams)
        if self._others:
            await asyncio.wait(set(self._others), timeout=grace)
        _cancel(self._streams | self._others)


def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tuple(tasks):
        task.cancel()


def _stopped() -> CallEnded:
    return CallEnded(
        grpc.StatusCode.UNAVAILABLE,
        "the gateway stops: subscribe to the task again when it is back, or ask for the task",
    )
