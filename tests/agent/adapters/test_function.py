"""Functions as agents: the suite."""

from __future__ import annotations

import pytest
from plain import PlainScenes, chatting

from codin.agent import Agent
from codin.testing.agent_conformance import AgentConformance

pytestmark = pytest.mark.slow


class TestFunction(PlainScenes, AgentConformance):
    title = "async function"
    bounds_itself = False

    async def make(self, base_url: str) -> Agent:
        return chatting(base_url)
