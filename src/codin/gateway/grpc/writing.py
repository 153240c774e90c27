"""Writing a stream to a client that may not read it."""

from __future__ import annotations

import asyncio

import grpc
from google.protobuf.message import Message

from codin.gateway.grpc.reception import LAST_EVENT_KEY
from codin.gateway.grpc.refusal import CallEnded

Outgoing = tuple[int | None, Message]
"""A message of a stream, and its number in the task's log when it has one."""


class StreamWriter:
    """Hands messages over one by one; the next is read from the log when the last has gone, so a
    slow client costs one message of memory, and after ``seconds`` without progress its stream.

    However the stream ends, its trailing metadata has the number of the last message, from which
    it can be resumed.
    """

    def __init__(self, rpc: grpc.aio.ServicerContext, seconds: float) -> None:
        self._rpc = rpc
        self._seconds = seconds

    async def open(self) -> None:
        """Tell the client that its stream has begun, however long the first message takes.

        A status cannot be sent while the first metadata waits behind a message.
        """
        await self._rpc.send_initial_metadata(())

    async def write(self, message: Message, seq: int | None) -> None:
        """Return once the message is on its way.

        Raises:
            CallEnded: the client took nothing for too long.
        """
        if seq is not None:
            self._rpc.set_trailing_metadata(((LAST_EVENT_KEY, str(seq)),))
        try:
            async with asyncio.timeout(self._seconds):
                await self._rpc.write(message)
        except TimeoutError as error:
            raise CallEnded(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"the stream was not read for {self._seconds:g} s and ends here; the task goes on:"
                f" subscribe to it again, with {LAST_EVENT_KEY} as the trailing metadata says",
            ) from error
