"""The JavaScript SDK's client: a run of it."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from codin.testing import npm

HERE = Path(__file__).parent / "js"


async def stream(url: str, binding: str, words: str, task_id: str = "") -> list[dict[str, Any]]:
    """Send ``words`` to the agent at ``url``, as a task of its own or as an answer to ``task_id``,
    and follow the task to the end: each event that the client gave, and then the task."""
    node = npm.node()
    folder = await asyncio.to_thread(npm.locked, HERE, "goal.mjs")
    env = {name: value for name, value in os.environ.items() if "_proxy" not in name.lower()}
    code, out, err = await run(node, "goal.mjs", url, binding, words, task_id, cwd=folder, env=env)
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
