"""A gateway that serves a team of three whose words are known beforehand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from codin.testing.serving import Served, serve_agents
from codin.testing.team import TEAM, FixedPlanner


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve_agents(tmp_path, TEAM, FixedPlanner(), heartbeat_seconds=0.2) as served:
        yield served


@pytest.fixture
async def http(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    # proxies of the environment are none of these tests' business
    async with httpx.AsyncClient(base_url=served.url, trust_env=False, timeout=20) as client:
        yield client
