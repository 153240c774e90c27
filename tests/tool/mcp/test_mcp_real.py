"""Servers that others have made, as they are published."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from mcp_house import called, registered
from tool_house import House

from codin.sandbox.base import Mount
from codin.sandbox.local import LocalSandboxProvider
from codin.security import OutgoingGuard
from codin.testing.npm import installed, system_node
from codin.tool import RunnableTool
from codin.tool.mcp import HttpServer, McpSource, SandboxedServer

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

EVERYTHING = ("@modelcontextprotocol/server-everything@2026.8.31", "dist/index.js")
FILESYSTEM = ("@modelcontextprotocol/server-filesystem@2026.8.31", "dist/index.js")
TIME = ("mcp-server-time==2026.10.19",)
GIT = ("mcp-server-git==2026.10.19",)


@pytest.fixture
def tools() -> list[RunnableTool]:
    return []


@asynccontextmanager
async def opened(house: House, source: McpSource) -> AsyncIterator[list[str]]:
    """The names of its tools, which the house's agents can call."""
    try:
        yield await registered(house, source)
    finally:
        await source.aclose()


async def test_time_of_pypi(house: House, provider: LocalSandboxProvider) -> None:
    server = SandboxedServer(provider, ("mcp-server-time",), requirements=TIME)
    source = McpSource("time", server)
    async with opened(house, source) as names:
        assert names == ["time_get_current_time", "time_convert_time"]
        outcome = await called(
            house,
            "time_convert_time",
            source_timezone="Europe/Paris",
            time="12:00",
            target_timezone="Asia/Tokyo",
        )
        assert "T19:00:00+09:00" in outcome.text or "T20:00:00+09:00" in outcome.text
        wrong = await called(house, "time_get_current_time", timezone="Mars/Olympus")
        assert wrong.error_type == "ToolFailed"
        assert "Mars/Olympus" in wrong.text


async def test_git_of_pypi(house: House, provider: LocalSandboxProvider, tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-C", str(folder)]
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "The first one"], check=True)
    server = SandboxedServer(
        provider,
        ("mcp-server-git", "--repository", "/repository"),
        requirements=GIT,
        mounts=(Mount(folder, "/repository"),),
    )
    async with opened(house, McpSource("git", server)) as names:
        assert "git_git_log" in names
        told = await called(house, "git_git_log", repo_path="/repository", max_count=3)
        assert "The first one" in told.text
        outside = await called(house, "git_git_log", repo_path="/etc")
        assert outside.is_error


async def test_everything_of_npm(house: House, provider: LocalSandboxProvider) -> None:
    folder, script = installed(*EVERYTHING)
    server = SandboxedServer(
        provider, (system_node(), f"/server/{script}"), mounts=(Mount(folder, "/server"),)
    )
    source = McpSource("all", server)
    async with opened(house, source) as names:
        assert source.protocol == "2025-11-25"
        await everything(house, names)


async def test_everything_over_http(house: House) -> None:
    folder, script = installed(*EVERYTHING)
    async with serving(folder / script) as url:
        source = McpSource("all", HttpServer(url, OutgoingGuard(["127.0.0.1"])))
        async with opened(house, source) as names:
            assert source.protocol == "2025-11-25"
            await everything(house, names)


async def everything(house: House, names: list[str]) -> None:
    assert {"all_echo", "all_list_resources", "all_read_resource", "all_get_prompt"} <= {*names}
    assert (await called(house, "all_echo", message="hello")).value == "Echo: hello"
    summed = await called(house, "all_get-sum", a=2, b=3)
    assert "5" in summed.text
    structured = await called(house, "all_get-structured-content", location="Chicago")
    assert set(structured.value) == {"temperature", "conditions", "humidity"}
    *_, image, _ = (await called(house, "all_get-tiny-image")).value
    assert image["media_type"] == "image/png"
    async with house.sandboxes.sandbox(house.grant()) as sandbox:
        assert (await sandbox.fs.read(image["file"])).startswith(b"\x89PNG")
    long = await called(house, "all_trigger-long-running-operation", duration=0.4, steps=2)
    assert "completed" in long.text
    assert [event.stream for event in house.live] == ["progress"] * len(house.live)
    assert "2/2" in "".join(event.text for event in house.live)
    listed = (await called(house, "all_list_resources")).value["resources"]
    read = await called(house, "all_read_resource", uri=listed[0]["uri"])
    assert not read.is_error
    prompt = await called(house, "all_get_prompt", name="simple-prompt")
    assert prompt.value[0]["role"] == "user"


async def test_filesystem_of_npm_in_the_workspace_of_a_goal(
    house: House, provider: LocalSandboxProvider
) -> None:
    folder, script = installed(*FILESYSTEM)
    server = SandboxedServer(
        provider,
        (system_node(), f"/server/{script}", "/workspace"),
        mounts=(Mount(folder, "/server"),),
    )
    async with opened(house, McpSource("fs", server, per="goal")):
        wrote = await called(house, "fs_write_file", path="/workspace/a.txt", content="of a tool")
        assert not wrote.is_error, wrote.text
        async with house.sandboxes.sandbox(house.grant()) as sandbox:
            assert await sandbox.fs.read("a.txt") == b"of a tool"
        outside = await called(house, "fs_read_text_file", path="/etc/passwd")
        assert outside.error_type == "ToolFailed"


@asynccontextmanager
async def serving(script: Path) -> AsyncIterator[str]:
    """The address of the server that ``script`` is, on a port of its own."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {"PATH": os.environ["PATH"], "PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        system_node(),
        str(script),
        "streamableHttp",
        env=env,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}/mcp"
        async with asyncio.timeout(30), httpx.AsyncClient(trust_env=False) as http:
            while True:
                try:
                    await http.get(url)
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
        yield url
    finally:
        process.kill()
        await process.wait()
