"""A listening socket that somebody hostile holds as well does no harm to the loop."""

import asyncio
import os
import socket
import struct
import time

import pytest

from codin.sandbox.network.acceptor import Acceptor, Slots
from codin.sandbox.network.listener import taken


class Loop:
    """How long the loop did nothing at most, while the block ran."""

    async def __aenter__(self):
        self.lag = 0.0
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_):
        self._task.cancel()

    async def _watch(self):
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            self.lag = max(self.lag, time.monotonic() - before - 0.01)


@pytest.fixture
def listener():
    made = socket.create_server(("127.0.0.1", 0), backlog=512)
    yield made
    made.close()


def accepting(listener, slots=64):
    taken_ = []
    acceptor = Acceptor(listener, Slots(slots), taken_.append)
    return acceptor, taken_


def fill(connection):
    while True:
        connection.send(b"x" * 65536)


async def until(condition, seconds=8.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_socket_that_is_switched_all_the_time_blocks_nobody(listener):
    theirs = listener.dup()
    acceptor, found = accepting(listener)
    async with Loop() as loop:
        for number in range(20):
            theirs.setblocking(number % 2 == 0)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 1000))
            client = socket.create_connection(theirs.getsockname())
            await asyncio.sleep(0.01)
            client.close()
        await until(lambda: len(found) == 20)
        await asyncio.wait_for(acceptor.close(), 5)
    assert loop.lag < 1.0
    for connection in found:
        assert not connection.getblocking()
        connection.close()
    theirs.close()


async def test_closing_what_was_accepted_never_waits_for_its_reader(listener):
    theirs = listener.dup()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
    acceptor, found = accepting(listener)
    client = socket.create_connection(theirs.getsockname())
    await until(lambda: found)
    (connection,) = found
    with pytest.raises(BlockingIOError):
        fill(connection)  # nobody reads it
    began = time.monotonic()
    connection.close()
    assert time.monotonic() - began < 1.0
    await acceptor.close()
    client.close()
    theirs.close()


async def test_who_takes_connections_away_or_shuts_it_down_harms_only_itself(listener):
    theirs = listener.dup()
    acceptor, _ = accepting(listener)
    async with Loop() as loop:
        theirs.shutdown(socket.SHUT_RDWR)
        await asyncio.wait_for(acceptor.close(), 5)
        theirs.listen()  # once more
        await asyncio.wait_for(acceptor.close(), 5)
    assert loop.lag < 1.0
    assert listener.fileno() == -1
    theirs.close()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
async def test_what_does_not_listen_is_no_door(kind, caplog):
    acceptor, _ = accepting(socket.socket(socket.AF_INET, kind))
    await asyncio.wait_for(acceptor.close(), 5)
    assert "no listening socket" in caplog.text


async def test_what_is_no_socket_is_not_taken():
    here, there = socket.socketpair()
    reading, writing = os.pipe()
    socket.send_fds(there, [b"."], [reading])
    with here, there:
        assert await asyncio.wait_for(taken(here), 5) is None
    os.close(reading)
    with pytest.raises(BrokenPipeError):  # nobody holds the other end any more
        os.write(writing, b"x")
    os.close(writing)


async def test_more_descriptors_than_one_are_not_kept(listener):
    here, there = socket.socketpair()
    reading, writing = os.pipe()
    socket.send_fds(there, [b"."], [listener.fileno(), reading, reading, reading])
    os.close(reading)
    with here:
        door = await asyncio.wait_for(taken(here), 5)
    there.close()
    assert door is not None
    assert door.getsockname() == listener.getsockname()
    assert not os.get_inheritable(door.fileno())
    with pytest.raises(BrokenPipeError):
        os.write(writing, b"x")
    os.close(writing)
    door.close()


async def test_nothing_comes_when_nobody_is_there():
    here, there = socket.socketpair()
    there.close()
    with here:
        assert await asyncio.wait_for(taken(here), 5) is None


async def test_connections_are_taken_no_faster_than_the_platform_can_bear(listener):
    acceptor, found = accepting(listener, slots=1000)
    clients = []
    async with Loop() as loop:
        began = time.monotonic()
        for _ in range(400):
            clients.append(socket.create_connection(listener.getsockname()))
            await asyncio.sleep(0)
        await until(lambda: len(found) == 400, 30)
        assert time.monotonic() - began > 0.9
        await acceptor.close()
    assert loop.lag < 1.0
    for each in [*clients, *found]:
        each.close()


async def test_slots_are_of_each_and_of_all():
    above = Slots(3)
    one, other = Slots(2, above), Slots(2, above)
    assert [one.take(0.01) for _ in range(3)] == [True, True, False]
    assert [other.take(0.01) for _ in range(2)] == [True, False]
    one.give_back()
    assert other.take(0.01)
    assert not one.take(0.01)
