"""Who may not call a tool neither sees nor calls it, by whichever way it is asked for."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from a2a_calls import V1, message, rpc
from coordination_place import texts
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from codin.config import AgentEntry, SecuritySettings, ServerSettings, Settings
from codin.gateway.auth import Caller
from codin.gateway.host_api import host_api
from codin.gateway.opening import open_platform
from codin.gateway.platform import Platform
from codin.gateway.serving import serve
from codin.model import parse
from codin.runtime import LocalRuntime
from codin.sandbox.local import LocalSandboxProvider
from codin.security import KeyRequest, Principal, RunGrant, RunGrants
from codin.tool.execution.executor import ToolExecutor
from codin.tool.session import GoalSandboxes
from codin.tool.workspace import Workspaces

pytestmark = pytest.mark.slow

NO_MODEL = parse("openai:none", {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
OWNER = Principal("acme", "olga", frozenset({"owner"}))
# what each may call, by the scopes of their keys
MAY = {"ann": "tool.call:double", "bob": "tool.call:triple"}
TOOLS = '''
from codin import tool

@tool(trusted=True)
def double(number: int) -> int:
    """Double a number."""
    return 2 * number

@tool(trusted=True)
def triple(number: int) -> int:
    """Triple a number."""
    return 3 * number
'''
AGENT = """
from codin import wrap
from codin.agent import Task

async def caller(task: Task) -> str:
    tools = {tool.name: tool for tool in task.tools}
    if "double" not in tools:
        return f"not to be had: double; there: {sorted(tools)}"
    return f"doubled: {await tools['double'].invoke(number=21)}"

agent = wrap(caller, id="caller", description="Calls.", tools=["double", "triple"])
"""


@dataclass(frozen=True)
class Place:
    platform: Platform
    url: str
    keys: dict[str, str]

    def http(self, name: str) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {self.keys[name]}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=60)

    async def principal(self, name: str) -> Principal:
        caller = Caller({"authorization": f"Bearer {self.keys[name]}"}, "127.0.0.1")
        return await self.platform.trust.authenticator.authenticate(caller)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    (tmp_path / "tools.py").write_text(TOOLS)
    (tmp_path / "caller.py").write_text(AGENT)
    settings = Settings(
        home=tmp_path / "home",
        tools=(tmp_path / "tools.py",),
        agents=(AgentEntry(source=str(tmp_path / "caller.py")),),
        server=ServerSettings(port=0),
        security=SecuritySettings(auth=True),
    )
    async with (
        open_platform(settings, NO_MODEL) as platform,
        serve(platform.parts(), settings.server, guarded=True) as served,
    ):
        keys = {}
        for name, scope in MAY.items():
            scopes = frozenset({scope, "agent.use:*", "task.*"})
            request = KeyRequest(name, frozenset({"owner"}), scopes)
            keys[name] = (await platform.trust.store.keys.add(OWNER, request))[1]
        yield Place(platform, served.url, keys)


async def test_over_a2a(place: Place) -> None:
    said = {}
    for name in MAY:
        async with place.http(name) as http:
            body = rpc("SendMessage", {"message": message("go")})
            answer = (await http.post("/agents/caller", json=body, headers=V1)).json()
            said[name] = texts(answer["result"]["task"])
    assert said == {"ann": ["doubled: 42"], "bob": ["not to be had: double; there: ['triple']"]}


async def test_over_mcp(place: Place) -> None:
    headers = {"authorization": f"Bearer {place.keys['bob']}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(f"{place.url}/mcp", http_client=http)) as client,
    ):
        assert [tool.name for tool in (await client.list_tools()).tools] == ["triple"]
        with pytest.raises(MCPError, match="there is no tool 'double'"):
            await client.call_tool("double", {"number": 1})
        answer: Any = await client.call_tool("triple", {"number": 14})
        assert answer.content[0].text == "42"


async def test_over_the_api(place: Place) -> None:
    async with place.http("bob") as http:
        listed = (await http.get("/api/tools")).json()["tools"]
    assert [tool["name"] for tool in listed] == ["triple"]


async def test_over_the_host_api(place: Place, tmp_path: Path) -> None:
    """Also when the run was promised more than its principal may."""
    provider = LocalSandboxProvider()
    runtime = LocalRuntime(provider)
    sandboxes = GoalSandboxes(provider, Workspaces(tmp_path / "work"))
    executor = ToolExecutor(place.platform.tools, runtime=runtime, sandboxes=sandboxes)
    grants = RunGrants()
    bob = await place.principal("bob")
    promised = frozenset({"double", "triple"})
    token = grants.issue(RunGrant("t", "t", "c", "caller", bob, promised, time.time() + 60))
    transport = httpx.ASGITransport(host_api(grants, executor))
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://platform", headers=headers
    ) as http:
        run = (await http.get("/run")).json()
        assert [tool["name"] for tool in run["tools"]] == ["triple"]
        refused = await http.post("/tools/double", json={"arguments": {"number": 1}})
        unknown = await http.post("/tools/never", json={"arguments": {}})
        assert refused.status_code == unknown.status_code
        assert "there is no tool 'double'" in refused.text
        called = await http.post("/tools/triple", json={"arguments": {"number": 14}})
        assert called.json()["value"] == 42
    await runtime.close()
    await provider.close()
