"""The host's side of the Worker protocol, against a process that does not keep to it."""

import asyncio
import struct

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codin.sandbox.base import Limits
from codin.sandbox.errors import (
    OutputLimit,
    RemoteError,
    SandboxTimeout,
    WorkerGone,
    WorkerProtocolError,
)
from codin.sandbox.outcome import Usage
from codin.sandbox.worker import frames
from codin.sandbox.worker.client import WorkerClient
from codin.sandbox.worker.link import WorkerLink

HELLO = {"t": "hello", "version": frames.VERSION}
MINE = "the id that was asked with"


class Script(WorkerLink):
    """Says the first of the given at once and the others when it is asked; then nothing, or the
    end. Where an answer has ``MINE`` for its id, it has that of the request."""

    def __init__(self, *answers, limits=None, ends=False):
        self.limits = limits or Limits(wall_seconds=5)
        self._first, self._answers = answers[:1], list(answers[1:])
        self._ends = ends
        self.sent = []
        self.reason = None
        self.over = asyncio.Event()

    def listen(self, received, lost):
        self.received, self.lost = received, lost
        asyncio.get_running_loop().call_soon(self.say, *self._first)

    def send(self, data):
        self.sent.append(frames.unpack(data[4:]))
        asyncio.get_running_loop().call_soon(self.say, *self._answers)
        self._answers.clear()

    def say(self, *answers):
        for answer in answers:
            self.received(answer if isinstance(answer, bytes) else self._named(answer))
        if self._ends and not self._answers:
            self.over.set()
            self.lost()

    def _named(self, answer):
        mine = answer.get("id") == MINE
        return _frame({**answer, "id": self.sent[-1]["id"]} if mine else answer)

    def begin(self, sink):
        pass

    def finish(self):
        return Usage

    def end(self, reason=None):
        self.reason = self.reason or reason
        self.over.set()

    async def wait(self):
        await self.over.wait()
        if self.reason is not None:
            raise self.reason
        return -9


def _frame(message):
    body = msgpack.packb(message)
    return struct.pack(">I", len(body)) + body


async def test_a_call():
    link = Script(HELLO, {"t": "done", "id": MINE, "value": [1, "x", b"y", None, {"k": 1.5}]})
    assert await WorkerClient(link).call("m:f", [1], {"k": 2}) == [1, "x", b"y", None, {"k": 1.5}]
    (sent,) = link.sent
    assert (sent["target"], sent["args"], sent["kwargs"]) == ("m:f", [1], {"k": 2})


@pytest.mark.parametrize(
    "answers",
    [
        [b"\xff\xff\xff\xff"],
        [struct.pack(">I", 100_000_000)],
        [struct.pack(">I", 3) + b"\xc1\xc1\xc1"],
        [struct.pack(">I", 0)],
        [struct.pack(">I", 5) + b"hello"],
        [{"t": "done", "id": 1}],
        [{"t": "hello", "version": 99}],
        [HELLO, HELLO],
        [HELLO, {"t": "done", "id": 2, "value": 1}],
        [HELLO, {"t": "done", "id": "1", "value": 1}],
        [HELLO, {"t": "done", "id": 1, "value": 1}],
        [HELLO, {"t": "done", "id": True, "value": 1}],
        [HELLO, {"t": "done", "value": 1}],
        [HELLO, {"t": "exec", "id": MINE}],
        [HELLO, {"t": 5, "id": MINE}],
        [HELLO, {"id": MINE}],
        [HELLO, _frame([1, 2, 3])],
        [HELLO, _frame({"t": "done", "id": MINE, "value": msgpack.ExtType(5, b"x")})],
        [HELLO, struct.pack(">I", 5000) + b"\x91" * 5000],
        [HELLO, struct.pack(">I", 5) + b"\xdd\xff\xff\xff\xff"],
        [HELLO, struct.pack(">I", 9) + b"\x82\xa1t\xa4done\x91" + b"\x01"],
        [HELLO, struct.pack(">I", 4) + b"\xa3\xff\xfe\xfd"],
    ],
)
async def test_what_the_protocol_does_not_allow_ends_the_worker(answers):
    link = Script(*answers)
    worker = WorkerClient(link)
    with pytest.raises(WorkerProtocolError):
        await worker.call("m:f")
    assert link.reason is not None
    assert not worker.alive
    with pytest.raises((WorkerGone, WorkerProtocolError)):
        await worker.call("m:f")


async def test_values_of_the_wrong_type_do_no_harm():
    answer = {"t": "done", "id": MINE, "value": {"not": "text"}, "error": 5}
    result = await WorkerClient(Script(HELLO, answer)).run_code("x")
    assert (result.value, result.error) == ("{'not': 'text'}", "5")
    error = {"t": "error", "id": MINE, "type": 5, "message": None, "traceback": [1]}
    with pytest.raises(RemoteError) as caught:
        await WorkerClient(Script(HELLO, error)).call("m:f")
    assert caught.value.type_name == "5"


async def test_a_timestamp_is_a_number():
    link = Script(HELLO, {"t": "done", "id": MINE, "value": msgpack.Timestamp(5)})
    assert await WorkerClient(link).call("m:f") == 5.0


async def test_items_without_end():
    items = [{"t": "item", "id": MINE, "value": "x" * 100_000}] * 20
    link = Script(HELLO, *items, limits=Limits(output_bytes=1_000_000, wall_seconds=5))
    with pytest.raises(OutputLimit):
        await WorkerClient(link).call("m:f")


async def test_no_answer_can_be_known_before_it_is_asked_for():
    link = Script(HELLO, {"t": "done", "id": MINE, "value": 1})
    worker = WorkerClient(link)
    await worker.call("m:f")
    with pytest.raises(SandboxTimeout):
        await worker.call("m:f", timeout=0.02)
    first, second = (sent["id"] for sent in link.sent)
    assert abs(second - first) > 2**32
    assert min(first, second) > 2**40


async def test_what_nobody_asked_for_ends_the_worker_at_once():
    link = Script(HELLO, {"t": "done", "id": MINE, "value": 1})
    worker = WorkerClient(link)
    assert await worker.call("m:f") == 1
    assert worker.idle
    link.say({"t": "done", "id": MINE, "value": 2})
    assert not worker.alive
    with pytest.raises(WorkerProtocolError, match="nobody"):
        await worker.call("m:f")


async def test_frames_cut_anywhere():
    whole = _frame(HELLO)
    for at in range(1, len(whole)):
        link = Script(whole[:at], {"t": "done", "id": MINE, "value": at})
        link.received = None
        worker = WorkerClient(link)
        asyncio.get_running_loop().call_soon(link.received, whole[at:])
        call = worker.call("m:f")
        assert await call == at


async def test_many_calls_wait_for_their_turn_and_each_has_its_answer():
    class Echo(Script):
        def send(self, data):
            asked = frames.unpack(data[4:])
            self.received(_frame({"t": "done", "id": asked["id"], "value": asked["args"][0]}))

    worker = WorkerClient(Echo(HELLO))
    calls = [worker.call("m:f", [n]) for n in range(50)]
    assert await asyncio.gather(*calls) == list(range(50))


async def test_who_is_cancelled_in_the_queue_ends_nothing():
    link = Script(HELLO, {"t": "item", "id": MINE, "value": 1})
    worker = WorkerClient(link)
    running, waiting = worker.call("m:f"), worker.call("m:g")
    async for item in running.items():
        assert item == 1
        break
    await waiting.cancel()
    assert worker.alive
    with pytest.raises(asyncio.CancelledError):
        await waiting
    link.say({"t": "done", "id": MINE, "stream": True})
    assert await running == [1]
    assert len(link.sent) == 1


async def test_who_is_cancelled_while_it_runs_ends_the_worker():
    link = Script(HELLO)
    worker = WorkerClient(link)
    waiting = asyncio.ensure_future(worker.call("m:f"))
    behind = worker.call("m:g")
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert isinstance(link.reason, WorkerGone)
    with pytest.raises(WorkerGone):
        await behind


async def test_a_text_is_sent_once():
    class Done(Script):
        def send(self, data):
            super().send(data)
            asyncio.get_running_loop().call_soon(self.say, {"t": "done", "id": MINE, "value": 1})

    link = Done(HELLO)
    worker = WorkerClient(link)
    for source in ("a", "a", "b", "a"):
        await worker.call("m:f", source=source)
    assert [sent.get("source") for sent in link.sent] == ["a", None, "b", None]
    texts = [sent["text"] for sent in link.sent]
    assert texts[0] == texts[1] == texts[3] != texts[2]
    for n in range(100):
        await worker.call("m:f", source=f"other {n}")
    await worker.call("m:f", source="a")
    assert link.sent[-1]["source"] == "a"
    assert link.sent[-1]["text"] not in texts


async def test_silence_is_a_timeout():
    for answers in ([], [HELLO], [HELLO, b"\0\0\0\x10half"]):
        link = Script(*answers)
        with pytest.raises(SandboxTimeout):
            await WorkerClient(link).call("m:f", timeout=0.05)


async def test_the_end_in_the_middle():
    with pytest.raises(WorkerGone, match="signal 9"):
        await WorkerClient(Script(HELLO, b"\0\0\0\x10half", ends=True)).call("m:f")


_text = st.text(st.characters(codec="utf-8"))
_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | _text
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.text(st.characters(codec="utf-8")) | st.integers(0, 99), inner, max_size=5
        )
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(_data)
def test_data_comes_back_as_it_went(value):
    packed = frames.pack({"t": "done", "value": value})
    assert frames.LENGTH.unpack(packed[:4]) == (len(packed) - 4,)
    assert frames.unpack(packed[4:])["value"] == value


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_an_error(body):
    try:
        message = frames.unpack(body)
    except frames.FrameError:
        return
    assert isinstance(message["t"], str)


def test_text_that_is_no_unicode_can_be_sent():
    packed = frames.pack({"t": "done", "value": "a\udcff"})
    assert frames.unpack(packed[4:])["value"] == "a\\udcff"


def test_a_number_that_is_too_large_is_told():
    with pytest.raises(TypeError, match="not data"):
        frames.pack({"t": "done", "value": 2**70})
