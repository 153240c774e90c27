"""Secrets of tools, through the platform: nothing that it keeps or says has them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from codin.config import load_settings
from codin.gateway.opening import open_platform
from codin.model import parse
from codin.security import LOCAL_USER
from codin.task.log.follow import follow

pytestmark = pytest.mark.slow

NO_MODEL = parse("openai:none", {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
SECRET = "tok-93-not-to-be-seen"
TOOLS = """
from typing import Annotated
from codin import tool
from codin.tool import Secret

@tool
def inside(token: Annotated[str, Secret("tracker")]) -> str:
    "Says it in a sandbox."
    print(token)
    return f"inside {token} {len(token)}"

@tool(trusted=True)
def here(token: Annotated[str, Secret("tracker")]) -> str:
    "Fails with it."
    raise RuntimeError(f"here {token} {len(token)}")
"""
ASKER = """
from codin import wrap
from codin.agent import Task

async def asker(task: Task) -> str:
    said = []
    for tool in task.tools:
        try:
            said.append(str(await tool.invoke()))
        except Exception as error:
            said.append(str(error))
    return "; ".join(said)

agent = wrap(asker, id="asker", description="Asks.", tools=["inside", "here", "prints"])
"""
SETTINGS = """
home = "home"
tools = ["tools.py"]
[[agents]]
source = "asker.py"
[secrets.tracker]
file = "token"
tools = ["inside", "here"]
[commands.prints]
description = "Prints its variable."
argv = ["bash", "-c", "echo prints $TOKEN ${{#TOKEN}}; echo $TOKEN >&2"]
env = { TOKEN = { file = "token" } }
"""


async def test_nothing_that_is_kept_or_said_has_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    files = {"tools.py": TOOLS, "asker.py": ASKER, "codin.toml": SETTINGS, "token": SECRET}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    settings = load_settings(tmp_path / "codin.toml")
    said: list[str] = []
    async with open_platform(settings, NO_MODEL, say=said.append) as platform:
        assert platform.problems == ()
        task_id = await platform.submit(LOCAL_USER, "Go")
        events = [event async for event in follow(platform.log, LOCAL_USER, task_id)]
    told = str([event.body for event in events])
    for expected in ("inside [secret] 21", "here [secret] 21", "prints [secret] 21"):
        assert expected in told
    assert SECRET not in told + caplog.text + "".join(said)
    kept = [file for file in (tmp_path / "home").rglob("*") if file.is_file()]
    assert any(b"inside [secret]" in file.read_bytes() for file in kept)
    assert [file.name for file in kept if SECRET.encode() in file.read_bytes()] == []
