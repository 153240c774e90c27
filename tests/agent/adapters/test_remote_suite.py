"""Agents at the other end of A2A: the suite, on a function behind a server of the SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from plain import PlainScenes, chatting

from codin.agent import Agent, Task, wrap
from codin.testing.a2a_server import A2AServer
from codin.testing.agent_conformance import AgentConformance, Scene
from codin.tool.base import Tool

pytestmark = pytest.mark.slow


class TestRemote(AgentConformance):
    title = "A2A 1.0 (remote)"
    takes_history = False
    bounds_itself = False
    serving: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    async def _servers(self) -> AsyncIterator[None]:
        self.servers: dict[str, tuple[str, _ToolsByMessage]] = {}
        async with AsyncExitStack() as self.stack:
            yield

    async def make(self, base_url: str) -> Agent:
        return await self._served(base_url, chatting(base_url))

    def asking(self) -> Scene:
        return self._behind(PlainScenes().asking())

    def approving(self) -> Scene:
        return self._behind(PlainScenes().approving())

    def handing_off(self) -> Scene:
        return self._behind(PlainScenes().handing_off())

    def structuring(self) -> Scene:
        return self._behind(PlainScenes().structuring())

    def making_files(self) -> Scene:
        return self._behind(PlainScenes().making_files())

    def _behind(self, scene: Scene) -> Scene:
        async def make(base_url: str) -> Agent:
            return await self._served(base_url, await scene.agent(base_url))

        return Scene(scene.script, make, scene.effects)

    async def _served(self, base_url: str, agent: Agent) -> Agent:
        """The agent behind a server: what is made anew is this side, the other goes on."""
        if base_url not in self.servers:
            server = _ToolsByMessage(agent)
            self.servers[base_url] = (
                await self.stack.enter_async_context(server.serve(**self.serving)),
                server,
            )
        url, server = self.servers[base_url]
        remote = wrap(url)
        handle = remote.handle

        async def handing_over(task: Task) -> Any:
            # What is at the other end has tools of its own; here it gets those of the test.
            server.by_message[task.message.message_id] = task.tools
            return await handle(task)

        remote.handle = handing_over
        return remote


class TestRemoteRest(TestRemote):
    title = "A2A 1.0 over HTTP+JSON (remote)"
    serving: ClassVar[dict[str, Any]] = {"bindings": ["HTTP+JSON"]}


class TestRemoteOld(TestRemote):
    title = "A2A 0.3 (remote)"
    serving: ClassVar[dict[str, Any]] = {"bindings": ["JSONRPC"], "old": True}


class TestRemoteOldRest(TestRemote):
    title = "A2A 0.3 over HTTP+JSON (remote)"
    serving: ClassVar[dict[str, Any]] = {"bindings": ["HTTP+JSON"], "old": True}


class _ToolsByMessage(A2AServer):
    def __init__(self, agent: Agent) -> None:
        super().__init__(agent)
        self.by_message: dict[str, tuple[Tool, ...]] = {}

    def _task(self, context: Any) -> Task:
        task = super()._task(context)
        return replace(task, tools=self.by_message.get(task.message.message_id, ()))
