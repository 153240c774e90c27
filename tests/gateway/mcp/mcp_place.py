"""A served platform, and clients of its tools in both revisions of the protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from codin.config import SecuritySettings, ServerSettings, Settings
from codin.gateway.opening import open_platform
from codin.gateway.platform import Platform
from codin.gateway.serving import serve
from codin.model import parse
from codin.security import KeyRequest, Principal
from codin.tool.base import ToolSpec
from codin.tool.invocation import Invocation, RunnableTool

REVISIONS = ["2026-07-28", "2025-11-25"]
NO_MODEL = parse("openai:none", {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
OWNER = Principal("acme", "olga", frozenset({"owner"}))
TOOLS = """
import time
from codin import tool

@tool(effects="none")
def add(a: int, b: int) -> dict:
    \"\"\"Add two numbers.\"\"\"
    return {"sum": a + b}

@tool
def fail() -> str:
    \"\"\"Fail.\"\"\"
    raise ValueError("as it should")

@tool(effects="once")
def slow(seconds: float) -> str:
    \"\"\"Count the seconds.\"\"\"
    for second in range(int(seconds * 10)):
        print("tick", second, flush=True)
        time.sleep(0.1)
    return "done"
"""


def settings(folder: Path, **security: Any) -> Settings:
    file = folder / "tools.py"
    file.write_text(TOOLS)
    return Settings(
        home=folder / "home",
        tools=(file,),
        server=ServerSettings(port=0),
        security=SecuritySettings(**security),
    )


class Place:
    """A served platform, and clients of it."""

    def __init__(self, platform: Platform, url: str) -> None:
        self.platform, self.url = platform, f"{url}mcp" if url.endswith("/") else f"{url}/mcp"

    @asynccontextmanager
    async def client(self, revision: str, key: str | None = None) -> AsyncIterator[Client]:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        mode: Any = "auto" if revision == REVISIONS[0] else "legacy"
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30) as http,
            Client(streamable_http_client(self.url, http_client=http), mode=mode) as client,
        ):
            yield client


@asynccontextmanager
async def served(given: Settings) -> AsyncIterator[Place]:
    guarded = given.security.auth
    async with (
        open_platform(given, NO_MODEL) as platform,
        serve(platform.parts(), given.server, guarded=guarded) as found,
    ):
        yield Place(platform, found.url)


async def key_of(place: Place, name: str, *scopes: str) -> str:
    """A new key of ``name``, for ``scopes`` alone."""
    request = KeyRequest(name, frozenset({"owner"}), frozenset(scopes))
    return (await place.platform.trust.store.keys.add(OWNER, request))[1]


class Numbered(RunnableTool):
    """A tool that gives the arguments of its calls."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.spec = ToolSpec(name=name, description=f"Does {name}.")

    async def run(self, call: Invocation) -> Any:
        return {"called": self.name, **call.arguments}


async def listed(client: Client) -> list[str]:
    """The names of all tools that the client is shown."""
    names: list[str] = []
    cursor = None
    while True:
        page = await client.list_tools(cursor=cursor)
        names += [tool.name for tool in page.tools]
        if (cursor := page.next_cursor) is None:
            return names
