"""The clients of the proof: ordinary HTTP, from outside, that come again after each kill."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx

from codin.agent.cards import RESUME_EXTENSION
from codin.testing.kills.agents import talk
from codin.testing.kills.ledger import Followed, Ledger

_RESUME = {"A2A-Version": "1.0", "A2A-Extensions": RESUME_EXTENSION}
_SENDERS = 4
_RETRY_SECONDS = 0.05
_SILENT_SECONDS = 90.0
"""How long a stream may say nothing, not even that it is there."""


class Clients:
    """``streams`` that follow a task each, one after the other, and a few senders beside them.

    A quarter of the streams follow the tasks of others; some of the tasks are goals, others ask
    before they answer. All of it is entered in ``ledger``.
    """

    def __init__(self, url: str, ledger: Ledger, streams: int) -> None:
        self._ledger = ledger
        self._count = streams
        self._http = httpx.AsyncClient(
            base_url=url,
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            timeout=httpx.Timeout(_SILENT_SECONDS, connect=5.0),
        )
        self._stopping = False
        self._up = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._live: dict[int, tuple[str, Followed]] = {}
        self.open = 0
        """Streams that are connected."""
        self.broken = 0
        """Streams and calls that broke off."""

    def start(self) -> None:
        """Begin; nothing is sent before the gateway is ``up``."""
        watching = self._count // 4
        acts: list[Callable[[int], Awaitable[None]]] = [self._follow_own, self._follow_other]
        self._tasks = [
            asyncio.create_task(self._repeat(acts[number < watching], number))
            for number in range(self._count)
        ]
        for act in (self._send_at_once, self._send_and_wait, self._order) * _SENDERS:
            self._tasks.append(asyncio.create_task(self._repeat(act, -1)))

    def up(self) -> None:
        """The gateway answers."""
        self._up.set()

    def down(self) -> None:
        """The gateway is dead: nobody needs to try."""
        self._up.clear()

    async def finish(self, seconds: float) -> None:
        """Let what was begun come to its end, and begin nothing any more."""
        self._stopping = True
        done, left = await asyncio.wait(self._tasks, timeout=seconds)
        for task in left:
            task.cancel()
        if left:
            self._ledger.fault(f"{len(left)} clients saw no end after {seconds:g} seconds")
            await asyncio.wait(left)
        for task in done:
            error = task.exception()
            if error is not None:
                self._ledger.fault(f"a client failed: {error!r}")
        await self._http.aclose()

    async def _repeat(self, act: Callable[[int], Awaitable[None]], number: int) -> None:
        await asyncio.sleep(random.random())
        while not self._stopping:
            await act(number)

    async def _follow_own(self, number: int) -> None:
        goal = random.random() < 0.1
        agent = "" if goal else "/agents/talker"
        said = _message(
            "do both" if goal else talk(random.randint(2, 12), random.choice((100, 500)))
        )
        one = self._ledger.follow()
        self._live[number] = agent, one
        while not one.over:
            await self._up.wait()
            if one.task_id is None:
                await self._read(one, said["messageId"], f"{agent}/message:stream", said)
            else:
                await self._read(one, "", f"{agent}/tasks/{one.task_id}:subscribe")

    async def _follow_other(self, number: int) -> None:
        begun = [(agent, o) for agent, o in self._live.values() if o.seqs and not o.over]
        if not begun:
            await asyncio.sleep(0.2)
            return
        agent, other = random.choice(begun)
        one = self._ledger.follow(other.task_id, random.choice([0, *other.seqs]))
        while not one.over:
            await self._up.wait()
            await self._read(one, "", f"{agent}/tasks/{one.task_id}:subscribe")

    async def _read(
        self, one: Followed, message_id: str, path: str, said: dict[str, Any] | None = None
    ) -> None:
        """Follow a stream for as long as it goes."""
        headers = dict(_RESUME)
        if one.last is not None:
            headers["Last-Event-ID"] = str(one.last)
        asked = self._http.stream(
            "GET" if said is None else "POST",
            path,
            json=None if said is None else {"message": said},
            headers=headers,
        )
        try:
            async with asked as response:
                if response.status_code != 200:
                    await self._refused(path, response)
                    return
                self.open += 1
                try:
                    await self._take(one, message_id, response)
                finally:
                    self.open -= 1
        except httpx.HTTPError as error:
            await self._broke(error)

    async def _take(self, one: Followed, message_id: str, response: httpx.Response) -> None:
        async for seq, body in _events(response):
            if seq is None:
                self._ledger.fault(f"the stream of task {one.task_id} told of an error: {body}")
            else:
                self._ledger.saw(one, message_id, seq, body)

    async def _send_at_once(self, _: int) -> None:
        said = _message(talk(2, 50))
        await self._send("/agents/talker", said, {"returnImmediately": True})
        await asyncio.sleep(0.2)

    async def _send_and_wait(self, _: int) -> None:
        await self._send("/agents/talker", _message(talk(2, 50)), {})

    async def _order(self, _: int) -> None:
        task = await self._send("/agents/asker", _message("order"), {})
        if task is not None and task["status"]["state"] == "TASK_STATE_INPUT_REQUIRED":
            await self._send("/agents/asker", _message("three", taskId=task["id"]), {})

    async def _send(
        self, agent: str, said: dict[str, Any], configuration: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Send until there is an answer: the task, or ``None`` when it takes no message now."""
        body = {"message": said, "configuration": configuration}
        while True:
            await self._up.wait()
            path = f"{agent}/message:send"
            try:
                response = await self._http.post(path, json=body, headers=_RESUME)
            except httpx.HTTPError as error:
                await self._broke(error)
                continue
            if response.status_code == 200:
                task: dict[str, Any] = response.json()["task"]
                self._ledger.acknowledged(said["messageId"], task)
                return task
            if "takes no message" in response.text:
                return None
            await self._refused(path, response)

    async def _refused(self, path: str, response: httpx.Response) -> None:
        """An answer that no client should get: what it asked for was acknowledged to it."""
        text = (await response.aread()).decode(errors="replace")[:300]
        self._ledger.fault(f"{path} was answered {response.status_code}: {text}")
        await asyncio.sleep(_RETRY_SECONDS)

    async def _broke(self, error: httpx.HTTPError) -> None:
        self.broken += 1
        if isinstance(error, httpx.ReadTimeout):
            self._ledger.fault(f"nothing came for {_SILENT_SECONDS:g} seconds: {error!r}")
        await asyncio.sleep(_RETRY_SECONDS)


def _message(text: str, **more: Any) -> dict[str, Any]:
    parts = [{"text": text}]
    return {"messageId": uuid.uuid4().hex, "role": "ROLE_USER", "parts": parts, **more}


async def _events(response: httpx.Response) -> AsyncIterator[tuple[int | None, dict[str, Any]]]:
    """The events of a stream that came whole, with their numbers."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line and "data" in fields:
            seq = int(fields["id"]) if "id" in fields else None
            yield seq, json.loads(fields["data"])
            fields = {}
