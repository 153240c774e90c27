from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from a2a.types import (
    SendMessageRequest,
    Task,
    TaskPushNotificationConfig,
)
from joserfc.jwk import OKPKey
from starlette.responses import RedirectResponse, Response

from codin.agent.base import Task as AgentTask
from codin.agent.events import AgentEvent, InputRequest, TextDelta, TextFinal
from codin.security import LOCAL_USER, Principal, RunGrants
from codin.task import AgentRequestHandler, AgentWork, RunServices, SqliteEventLog, TaskRunner
from codin.task.log.entries import UNTOLD
from codin.task.push import (
    BodySigner,
    DeadLetterPage,
    Ed25519Key,
    HttpPushSender,
    JwtBodySigner,
    PushDelivery,
    PushNotifications,
    PushStoreError,
    RetryPolicy,
    StoredPushConfigs,
    verify_body,
)
from codin.task.push.http import SIGNATURE_HEADER, TOKEN_HEADER
from codin.task.states import COMPLETED, INPUT_REQUIRED, SUBMITTED
from codin.testing.push import AnyUrl, Received, Receiver
from codin.testing.tasks import ANN, BOB, SmallAgent, send_request
from codin.testing.tasks import call_context as context

pytestmark = pytest.mark.slow

QUICK = RetryPolicy(attempts=4, first=0.01, longest=0.05, jitter=0.0, asked=2.0)

Serve = Callable[..., AgentRequestHandler]


async def echo(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
    for number in range(5):
        yield TextDelta(message_id="m", text=f"{number} ")
        await asyncio.sleep(0.03)
    yield TextFinal(message_id="m", text=f"you said: {task.text}")


async def asks(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
    if task.text == "blue":
        yield TextFinal(message_id="m", text="blue it is")
    else:
        yield InputRequest(request_id="r", prompt="which colour?")


@asynccontextmanager
async def pushing(
    path: Path,
    log: SqliteEventLog,
    *,
    policy: RetryPolicy = QUICK,
    timeout: float = 5.0,
    signer: BodySigner | None = None,
    **delivery: Any,
) -> AsyncIterator[PushNotifications]:
    store = await StoredPushConfigs.open(path)
    sender = HttpPushSender(AnyUrl(), signer=signer, timeout=timeout)
    try:
        given = {"sweep_seconds": 0.2, "poll_seconds": 0.2, **delivery}
        async with PushDelivery(store, log, sender, policy=policy, **given) as working:
            yield PushNotifications(store, AnyUrl(), working)
    finally:
        await sender.close()
        await store.close()


@pytest.fixture
async def push(tmp_path: Path, log: SqliteEventLog) -> AsyncIterator[PushNotifications]:
    async with pushing(tmp_path / "push.db", log) as found:
        yield found


@pytest.fixture
def serving(runner: TaskRunner) -> Serve:
    def make(events: Any, push: PushNotifications) -> AgentRequestHandler:
        agent = SmallAgent(events)
        work = AgentWork(agent, agent.info, RunServices(grants=RunGrants(), seconds=30.0))
        return AgentRequestHandler(agent.id, lambda _: work, runner, push=push)

    return make


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    await found.start()
    yield found
    await found.stop()


def asking(receiver: Receiver, text: str = "hello", **fields: Any) -> SendMessageRequest:
    asked = send_request(text)
    asked.configuration.task_push_notification_config.CopyFrom(
        TaskPushNotificationConfig(url=receiver.url, **fields)
    )
    return asked


async def send(
    handler: AgentRequestHandler, asked: SendMessageRequest, who: Principal = LOCAL_USER
) -> Task:
    task = await handler.on_message_send(asked, context(who))
    assert isinstance(task, Task)
    return task


async def letters(push: PushNotifications, **filters: Any) -> DeadLetterPage:
    return await push.dead_letters(LOCAL_USER, **filters)


async def test_a_config_that_came_with_the_message_is_told_everything(
    serving: Serve, push: PushNotifications, receiver: Receiver
) -> None:
    handler = serving(echo, push)
    asked = asking(
        receiver,
        token="shh",
        authentication={"scheme": "Bearer", "credentials": "let-me-in"},
    )
    stream = handler.on_message_send_stream(asked, context())
    streamed = [event async for event in stream]
    await receiver.until_state(COMPLETED)
    assert len(receiver.took) == len(streamed)
    assert "task" in receiver.took[0].json
    assert receiver.took[0].state == SUBMITTED
    assert receiver.seqs() == sorted(set(receiver.seqs()))
    for received in receiver.took:
        assert received.headers["content-type"] == "application/a2a+json"
        assert received.headers[TOKEN_HEADER.lower()] == "shh"
        assert received.headers["authorization"] == "Bearer let-me-in"
        assert len(received.json) == 1


@pytest.mark.parametrize(
    ("credentials", "sent"),
    [
        ("ann:pass:word", base64.b64encode(b"ann:pass:word").decode()),
        ("YW5uOnBhc3M=", "YW5uOnBhc3M="),
    ],
)
async def test_basic_authentication(
    serving: Serve, push: PushNotifications, receiver: Receiver, credentials: str, sent: str
) -> None:
    handler = serving(echo, push)
    given = {"scheme": "basic", "credentials": credentials}
    await send(handler, asking(receiver, authentication=given))
    await receiver.until_state(COMPLETED)
    assert receiver.took[0].headers["authorization"] == f"Basic {sent}"


async def test_a_body_is_signed_for_its_receiver(
    serving: Serve, tmp_path: Path, log: SqliteEventLog, receiver: Receiver
) -> None:
    key = OKPKey.generate_key("Ed25519")
    signer = JwtBodySigner(Ed25519Key(key), "https://codin.example")
    async with pushing(tmp_path / "push.db", log, signer=signer) as push:
        await send(serving(echo, push), asking(receiver))
        await receiver.until_state(COMPLETED)
    for received in receiver.took:
        claims = verify_body(
            received.headers[SIGNATURE_HEADER.lower()],
            received.body,
            key,
            audience=receiver.url,
            issuer="https://codin.example",
        )
        assert claims["jti"] == received.event_id


async def test_several_configs_are_told_each_for_itself(
    serving: Serve, push: PushNotifications, receiver: Receiver
) -> None:
    async def broken(_: Received) -> Response:
        return Response(status_code=503)

    other = Receiver(answer=broken)
    await other.start()
    handler = serving(echo, push)
    asked = asking(receiver)
    asked.configuration.return_immediately = True
    task = await send(handler, asked)
    await handler.on_create_task_push_notification_config(
        TaskPushNotificationConfig(task_id=task.id, id="other", url=other.url), context()
    )
    await receiver.until_state(COMPLETED)
    await other.until(lambda: any(one.state == COMPLETED for one in other.came))
    await other.stop()
    assert not other.took


async def test_a_failing_receiver_is_tried_again_with_the_same_event(
    serving: Serve, push: PushNotifications, receiver: Receiver
) -> None:
    async def every_third(_: Received) -> Response:
        return Response(status_code=500 if len(receiver.came) % 3 else 200)

    receiver.answer = every_third
    await send(serving(echo, push), asking(receiver))
    await receiver.until_state(COMPLETED)
    assert receiver.seqs() == sorted(set(receiver.seqs()))
    assert len(receiver.came) == 3 * len(receiver.took)
    for start in range(0, len(receiver.came), 3):
        attempts = receiver.came[start : start + 3]
        assert len({(one.event_id, one.body) for one in attempts}) == 1
    assert (await letters(push)).letters == ()


async def test_a_slow_receiver_holds_no_stream_up(
    serving: Serve, push: PushNotifications, receiver: Receiver
) -> None:
    async def slow(_: Received) -> Response:
        await asyncio.sleep(1.5 if len(receiver.came) == 1 else 0.0)
        return Response()

    receiver.answer = slow
    began = asyncio.get_running_loop().time()
    await send(serving(echo, push), asking(receiver))
    assert asyncio.get_running_loop().time() - began < 1.2
    assert not receiver.took
    await receiver.until_state(COMPLETED)
    assert receiver.seqs() == sorted(set(receiver.seqs()))


async def test_a_receiver_that_never_answers_becomes_dead_letters(
    serving: Serve, tmp_path: Path, log: SqliteEventLog, receiver: Receiver
) -> None:
    async def never(_: Received) -> Response:
        await asyncio.sleep(5)
        return Response()

    receiver.answer = never
    policy = RetryPolicy(attempts=2, first=0.01, longest=0.01, jitter=0.0)
    async with pushing(tmp_path / "push.db", log, policy=policy, timeout=0.2) as push:
        task = await send(serving(asks, push), asking(receiver))
        while len((await letters(push)).letters) < 3:
            await asyncio.sleep(0.05)
        found = (await letters(push, task_id=task.id)).letters
    assert {letter.status for letter in found} == {None}
    assert all("0.2 seconds" in letter.reason for letter in found)


async def test_a_redirect_is_not_followed(
    serving: Serve, push: PushNotifications, receiver: Receiver
) -> None:
    async def away(received: Received) -> Response:
        return RedirectResponse("/elsewhere", status_code=307)

    receiver.answer = away
    task = await send(serving(asks, push), asking(receiver, token="shh"))
    await receiver.until(lambda: any(one.state == INPUT_REQUIRED for one in receiver.came))
    await asyncio.sleep(0.1)
    assert {one.path for one in receiver.came} == {"/hook"}
    found = (await letters(push)).letters
    assert [letter.status for letter in found] == [307, 307, 307]
    assert [letter.seq for letter in found] == [4, 2, 1]
    assert {letter.attempts for letter in found} == {1}
    assert {letter.task_id for letter in found} == {task.id}
    assert "redirects" in found[0].reason


@pytest.mark.parametrize("status", [400, 401, 404, 410])
async def test_a_refusal_is_not_tried_again(
    serving: Serve, push: PushNotifications, receiver: Receiver, status: int
) -> None:
    async def refusing(_: Received) -> Response:
        return Response(status_code=status)

    receiver.answer = refusing
    await send(serving(asks, push), asking(receiver))
    await receiver.until(lambda: len(receiver.came) == 3)
    await asyncio.sleep(0.1)
    assert [one.seq for one in receiver.came] == [1, 2, 4]
    assert {letter.status for letter in (await letters(push)).letters} == {status}


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_is_kept(
    serving: Serve, push: PushNotifications, receiver: Receiver, form: str
) -> None:
    times: list[float] = []

    async def busy(_: Received) -> Response:
        times.append(asyncio.get_running_loop().time())
        if len(times) > 1:
            return Response()
        later = datetime.now(UTC) + timedelta(seconds=2)
        value = "1" if form == "seconds" else format_datetime(later, usegmt=True)
        return Response(status_code=429, headers={"Retry-After": value})

    receiver.answer = busy
    await send(serving(asks, push), asking(receiver))
    await receiver.until_state(INPUT_REQUIRED)
    assert times[1] - times[0] >= 0.9


async def test_a_receiver_that_was_dead_and_is_back_misses_nothing(
    serving: Serve, tmp_path: Path, log: SqliteEventLog, receiver: Receiver
) -> None:
    policy = RetryPolicy(attempts=100, first=0.02, longest=0.05, jitter=0.0)
    async with pushing(tmp_path / "push.db", log, policy=policy) as push:
        handler = serving(echo, push)
        await receiver.stop()
        task = await send(handler, asking(receiver))
        assert not receiver.came
        await receiver.start()
        await receiver.until_state(COMPLETED)
        events = await log.read(LOCAL_USER, task.id)
        assert receiver.seqs() == [event.seq for event in events if event.kind not in UNTOLD]
        assert (await letters(push)).letters == ()


async def test_after_a_dead_letter_only_what_matters_is_tried_often(
    serving: Serve, push: PushNotifications, receiver: Receiver
) -> None:
    async def down(_: Received) -> Response:
        return Response(status_code=503)

    receiver.answer = down
    await send(serving(echo, push), asking(receiver))
    while not (page := await letters(push, limit=1)).letters or page.letters[0].attempts == 1:
        await asyncio.sleep(0.05)
    while sum(one.state == COMPLETED for one in receiver.came) < QUICK.attempts:
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    found = (await letters(push)).letters
    attempts = [letter.attempts for letter in reversed(found)]
    assert attempts == [QUICK.attempts, *[1] * (len(found) - 2), QUICK.attempts]


async def test_an_interrupted_task_goes_on_being_told(
    serving: Serve, push: PushNotifications, receiver: Receiver
) -> None:
    handler = serving(asks, push)
    task = await send(handler, asking(receiver))
    await receiver.until_state(INPUT_REQUIRED)
    await send(handler, send_request("blue", task_id=task.id, context_id=task.context_id))
    await receiver.until_state(COMPLETED)
    assert receiver.seqs() == sorted(set(receiver.seqs()))


async def test_an_answer_can_bring_a_config(
    serving: Serve, push: PushNotifications, receiver: Receiver
) -> None:
    handler = serving(asks, push)
    task = await send(handler, send_request("colour"))
    asked = asking(receiver, "blue")
    asked.message.task_id = task.id
    await send(handler, asked)
    await receiver.until_state(COMPLETED)
    assert INPUT_REQUIRED not in {one.state for one in receiver.took}


async def test_a_task_that_has_ended_tells_a_new_config_so(
    serving: Serve, push: PushNotifications, receiver: Receiver
) -> None:
    handler = serving(echo, push)
    task = await send(handler, send_request())
    await handler.on_create_task_push_notification_config(
        TaskPushNotificationConfig(task_id=task.id, url=receiver.url), context()
    )
    await receiver.until_state(COMPLETED)
    assert len(receiver.took) == 1


async def test_what_was_left_is_told_by_who_opens_the_store_next(
    serving: Serve, tmp_path: Path, log: SqliteEventLog, receiver: Receiver
) -> None:
    async def first_only(received: Received) -> Response:
        return Response(status_code=200 if received.seq == 1 else 503)

    receiver.answer = first_only
    patient = RetryPolicy(attempts=100, first=0.05, longest=0.05, jitter=0.0)
    async with pushing(tmp_path / "push.db", log, policy=patient) as push:
        task = await send(serving(echo, push), asking(receiver))
        await receiver.until(lambda: len(receiver.came) > 3)
    assert receiver.seqs() == [1]
    receiver.answer = Receiver.answer
    async with pushing(tmp_path / "push.db", log) as push:
        await receiver.until_state(COMPLETED)
    events = await log.read(LOCAL_USER, task.id)
    assert receiver.seqs() == [event.seq for event in events if event.kind not in UNTOLD]


async def test_two_deliveries_over_one_store_do_not_double(
    serving: Serve, tmp_path: Path, log: SqliteEventLog, receiver: Receiver
) -> None:
    async with pushing(tmp_path / "push.db", log) as one, pushing(tmp_path / "push.db", log):
        handler = serving(echo, one)
        tasks = await asyncio.gather(*(send(handler, asking(receiver)) for _ in range(5)))
        expected = [
            f"{task.id}/{event.seq}"
            for task in tasks
            for event in await log.read(LOCAL_USER, task.id)
            if event.kind not in UNTOLD
        ]
        await receiver.until(lambda: len(receiver.took) >= len(expected))
        await asyncio.sleep(0.3)
    assert sorted(one.event_id for one in receiver.took) == sorted(expected)


async def test_a_deleted_config_is_told_nothing_more(
    serving: Serve, push: PushNotifications, receiver: Receiver
) -> None:
    async def down(_: Received) -> Response:
        return Response(status_code=503)

    receiver.answer = down
    handler = serving(asks, push)
    task = await send(handler, asking(receiver, id="mine"))
    await receiver.until(lambda: len(receiver.came) > 0)
    from a2a.types import DeleteTaskPushNotificationConfigRequest as Delete

    await handler.on_delete_task_push_notification_config(
        Delete(task_id=task.id, id="mine"), context()
    )
    await asyncio.sleep(0.1)
    came = len(receiver.came)
    await asyncio.sleep(0.3)
    assert len(receiver.came) == came


async def test_receivers_that_never_answer_hold_up_only_their_own(
    serving: Serve, tmp_path: Path, log: SqliteEventLog, receiver: Receiver
) -> None:
    over = asyncio.Event()

    async def never(_: Received) -> Response:
        await over.wait()
        return Response()

    tarpit = Receiver(answer=never)
    await tarpit.start()
    async with pushing(tmp_path / "push.db", log, at_once=3, at_once_each=2) as push:
        handler = serving(asks, push)
        for _ in range(4):
            await send(handler, asking(tarpit), ANN)
        await tarpit.until(lambda: len(tarpit.came) == 2)
        await send(handler, asking(receiver), BOB)
        await receiver.until_state(INPUT_REQUIRED, seconds=8)
        assert len(tarpit.came) == 2
        over.set()
    await tarpit.stop()


async def test_a_store_that_fails_for_a_moment_costs_a_repetition(
    serving: Serve, tmp_path: Path, log: SqliteEventLog, receiver: Receiver, monkeypatch: Any
) -> None:
    whole = StoredPushConfigs.advance
    failures = iter([True])

    async def once_not(self: Any, claim: Any, seq: int, **fields: Any) -> bool:
        if seq == 2 and next(failures, False):
            raise PushStoreError("the disk was away")
        return await whole(self, claim, seq, **fields)

    monkeypatch.setattr(StoredPushConfigs, "advance", once_not)
    async with pushing(tmp_path / "push.db", log) as push:
        await send(serving(asks, push), asking(receiver))
        await receiver.until_state(INPUT_REQUIRED)
    assert receiver.seqs() == [1, 2, 2, 4]


async def test_what_cannot_be_sent_at_all_becomes_a_dead_letter(
    serving: Serve, tmp_path: Path, log: SqliteEventLog, receiver: Receiver, monkeypatch: Any
) -> None:
    async def broken(self: Any, config: Any, notification: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(HttpPushSender, "send", broken)
    async with pushing(tmp_path / "push.db", log) as push:
        await send(serving(asks, push), asking(receiver))
        async with asyncio.timeout(5):
            while len((await letters(push)).letters) < 3:
                await asyncio.sleep(0.02)
        assert {one.reason for one in (await letters(push)).letters} == {
            "the notification could not be sent"
        }


async def test_nothing_is_left_running(
    serving: Serve, tmp_path: Path, log: SqliteEventLog, receiver: Receiver
) -> None:
    async with pushing(tmp_path / "push.db", log) as push:
        await send(serving(asks, push), asking(receiver))
        await receiver.until_state(INPUT_REQUIRED)
    await asyncio.sleep(0)
    left = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]
    assert not [name for name in left if "PushDelivery" in name]
    store = await StoredPushConfigs.open(tmp_path / "push.db")
    assert len(await store.claim("another", 1.0, lambda _: False)) == 1
    await store.close()
