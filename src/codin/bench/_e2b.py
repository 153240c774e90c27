"""`codin up --e2b`, asked by E2B's own SDK, beside the engine's commands or plain processes."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codin.bench import _engine
from codin.bench._local import PLAIN
from codin.bench._pairs import MS, NotHere, Pair, Way, at_most, typical, whole_run
from codin.bench._programs import announced, program
from codin.bench.base import BenchError

if TYPE_CHECKING:
    from e2b import ApiParams, AsyncSandbox

    from codin.bench.sandbox import Effort

_PAUSE = 0.3
"""Seconds between two who want a sandbox, where each is to find one that is ready."""


@asynccontextmanager
async def e2b(effort: Effort) -> AsyncIterator[list[Pair]]:
    """The pairs of the E2B-compatible service.

    Raises:
        NotHere
    """
    if find_spec("e2b") is None:
        raise NotHere("E2B's SDK is not here: pip install e2b")
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(_service())
        (creates, create), (runs, run) = await _baselines(stack, effort)
        options: ApiParams = {
            "api_url": f"{url}/e2b",
            "sandbox_url": f"{url}/e2b",
            "api_key": "e2b_bench",
        }
        sandbox = await _create(options)
        stack.push_async_callback(sandbox.kill)
        yield [
            Pair(
                "e2b create",
                "ms",
                lambda: typical(lambda: _created(options, _PAUSE), effort.starts, MS),
                creates,
                create,
                at_most(30, "ms"),
            ),
            Pair(
                "e2b create in a row",
                "ms",
                lambda: typical(lambda: _created(options), 2 * effort.starts, MS),
                creates,
                create,
                at_most(30, "ms"),
            ),
            Pair(
                "e2b run command",
                "ms",
                lambda: typical(lambda: _commanded(sandbox), effort.starts, MS),
                runs,
                run,
                at_most(15, "ms"),
            ),
        ]


async def _baselines(
    stack: AsyncExitStack, effort: Effort
) -> tuple[tuple[str, Way], tuple[str, Way]]:
    """Containers where there is an engine, else plain processes."""

    def plain() -> Any:
        return typical(lambda: whole_run("echo", "x"), effort.starts, MS)

    try:
        _, container, image = await stack.enter_async_context(_engine.engine())
    except NotHere:
        return (PLAIN, plain), (PLAIN, plain)
    return (
        (_engine.RUN, lambda: typical(lambda: _engine.run(image), effort.containers, MS)),
        (_engine.EXEC, lambda: typical(lambda: _engine.execed(container), effort.containers, MS)),
    )


@asynccontextmanager
async def _service() -> AsyncIterator[str]:
    """`codin up --e2b` with a home of its own; gives its address."""
    with tempfile.TemporaryDirectory(prefix="codin-bench-", ignore_cleanup_errors=True) as folder:
        config, log = Path(folder, "codin.toml"), Path(folder, "log")
        config.write_text(  # noqa: ASYNC240 - one short line, before anything is measured
            f"home = {json.dumps(f'{folder}/home')}\n", encoding="utf-8"
        )
        # A model has to be named, and is never asked.
        env = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
        arguments = ["-m", "codin", "up", "--e2b", "--config", str(config), "--port", "0"]
        async with program([*arguments, "--model", "openai:none"], log, env) as process:
            yield await announced(process, "codin is at ", log)


async def _create(options: ApiParams) -> AsyncSandbox:
    from e2b import AsyncSandbox

    return await AsyncSandbox.create(timeout=600, **options)


async def _created(options: ApiParams, pause: float = 0.0) -> float:
    await asyncio.sleep(pause)
    began = time.perf_counter()
    sandbox = await _create(options)
    took = time.perf_counter() - began
    await sandbox.kill()
    return took


async def _commanded(sandbox: AsyncSandbox) -> float:
    began = time.perf_counter()
    result = await sandbox.commands.run("echo x")
    took = time.perf_counter() - began
    if result.stdout != "x\n":
        raise BenchError(f"echo in an E2B sandbox gave {result.stdout!r:.100}")
    return took
