"""`codin mcp`, started by the reference client as any other server."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

pytestmark = pytest.mark.slow

TOOLS = """
from codin import tool

@tool
def add(a: int, b: int) -> int:
    \"\"\"Add two numbers.\"\"\"
    print("this is not the protocol's")
    return a + b
"""


@pytest.mark.parametrize(("mode", "revision"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
async def test_a_client_starts_it(tmp_path: Path, mode: Any, revision: str) -> None:
    (tmp_path / "tools.py").write_text(TOOLS)
    (tmp_path / "codin.toml").write_text(
        'home = "home"\ntools = ["tools.py"]\n[openapi.none]\ndocument = "none.json"\n'
    )
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "codin", "mcp", "--config", str(tmp_path / "codin.toml")],
        env=dict(os.environ),
    )
    async with Client(server, mode=mode) as client:
        assert client.protocol_version == revision
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert {"add", "run_python"} <= set(names)
        answer: Any = await client.call_tool("add", {"a": 20, "b": 22})
        assert (answer.content[0].text, answer.is_error) == ("42", False)
