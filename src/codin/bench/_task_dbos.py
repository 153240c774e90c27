"""Steps and workflows of DBOS. A program of its own; its argument is the address of a database.

Each line that it is given is ``steps N``, answered with the milliseconds that a step of a workflow
of N takes, or ``workflows N M``, answered with how many of N at once, of M steps each, are done in
a second.
"""

from __future__ import annotations

import asyncio
import sys
import time

from dbos import DBOS

DBOS(
    config={
        "name": "bench",
        "system_database_url": sys.argv[1],
        "run_admin_server": False,
        "log_level": "ERROR",
    }
)


@DBOS.step()  # type: ignore[untyped-decorator]
async def step(number: int) -> str:
    """What the agent that is measured does."""
    return f"step {number}"


@DBOS.workflow()  # type: ignore[untyped-decorator]
async def chain(steps: int) -> str:
    """One step after the other; what the last one gave."""
    said = ""
    for number in range(steps):
        said = await step(number)
    return said


async def _steps(count: int) -> float:
    began = time.perf_counter()
    said = await chain(count)
    assert said == f"step {count - 1}"
    return (time.perf_counter() - began) / count * 1000


async def _workflows(count: int, steps: int) -> float:
    began = time.perf_counter()
    handles = [await DBOS.start_workflow_async(chain, steps) for _ in range(count)]
    said = await asyncio.gather(*(handle.get_result() for handle in handles))
    assert set(said) == {f"step {steps - 1}"}
    return count / (time.perf_counter() - began)


async def main() -> None:
    """Answer until there is nothing more."""
    DBOS.launch()
    await chain(3)
    while line := await asyncio.to_thread(sys.stdin.readline):
        what, *numbers = line.split()
        measure = _steps if what == "steps" else _workflows
        print(await measure(*map(int, numbers)), flush=True)  # noqa: T201
    DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main())
