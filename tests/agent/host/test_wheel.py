"""An installed wheel does what a checkout does: an agent with packages of its own is served."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from codin.sandbox.packages.uv import find
from codin.testing.scripted_model import RecordedRequest, ScriptedModel, Turn, text, tool_call

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
SETTINGS = """
home = "home"
tools = ["tools.py"]
[[agents]]
source = "crew.py"
requirements = ["crewai>=1.15.30"]
"""
TOOLS = '''
from codin import tool

@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b
'''


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel in it, and nothing of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    uv, python = str(find()), folder / "venv" / "bin" / "python"
    run(uv, "build", "-q", "--wheel", "--no-create-gitignore", "-o", str(folder), str(ROOT))
    [wheel] = folder.glob("codin-*.whl")
    run(uv, "venv", "-q", str(folder / "venv"))
    run(uv, "pip", "install", "-q", "-p", str(python), f"{wheel}[platform]")
    return python.parent


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def answer(request: RecordedRequest) -> Turn:
    if request.tool_results:
        return text(f"the sum is {request.tool_results[-1]}")
    return tool_call("add", {"a": 2, "b": 40})


@asynccontextmanager
async def up(installed: Path, folder: Path, model: str) -> AsyncIterator[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CODIN", "PYTHON"))}
    process = subprocess.Popen(
        [installed / "codin", "up", "--port", "0"],
        cwd=folder,
        env=kept | {"OPENAI_BASE_URL": model, "OPENAI_API_KEY": "k", "CODIN_MODEL": "openai:any"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        said = process.stdout.readline()
        assert said, process.stderr.read()
        yield next(word for word in said.split() if word.startswith("http"))
    finally:
        process.terminate()
        process.wait(30)


async def test_a_crew_of_an_installed_wheel(installed: Path, tmp_path: Path) -> None:
    crew = Path(__file__).with_name("agents") / "crew.py"
    (tmp_path / "crew.py").write_text(crew.read_text())
    (tmp_path / "tools.py").write_text(TOOLS)
    (tmp_path / "codin.toml").write_text(SETTINGS)
    async with (
        ScriptedModel(answer).serve() as model,
        up(installed, tmp_path, model) as url,
        httpx.AsyncClient(timeout=60) as http,
    ):
        [row] = (await http.get(f"{url}/api/agents")).json()["agents"]
        assert (row["id"], row["state"], row["framework"]) == ("crew", "ready", "crewai")
        assert row["version"].startswith("1.")
        assert row["environment"].startswith("requirements ")
        message = {
            "messageId": uuid.uuid4().hex,
            "role": "ROLE_USER",
            "parts": [{"text": "add 2 and 40"}],
        }
        call = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "SendMessage",
            "params": {"message": message},
        }
        headers = {"A2A-Version": "1.0"}
        told = (await http.post(row_url(url, row), json=call, headers=headers)).json()
    assert told["result"]["task"]["status"]["state"] == "TASK_STATE_COMPLETED", told
    assert "the sum is 42" in json.dumps(told)


def row_url(url: str, row: dict[str, str]) -> str:
    return url + row["address"]
