"""A worker of the proof: ``python -m codin.testing.chaos.worker``.

It takes goals, and steps of goals, from the log as any process of the platform does, and ends by
SIGKILL wherever it is.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click

from codin.database import open_database
from codin.gateway.server import stop_signals
from codin.testing.chaos.team import manager_over
from codin.testing.kills.doom import MOMENTS, Doom, doomed_log


async def _work(place: str, folder: Path, doom: Doom, runs: int) -> None:
    async with stop_signals() as asked, AsyncExitStack() as stack:
        database = await open_database(place)
        stack.push_async_callback(database.close)
        log = await doomed_log(database, doom)
        stack.push_async_callback(log.close)
        manager = manager_over(log, folder, runs=runs)
        stack.push_async_callback(manager.aclose, hand_over=True)
        await manager.start()
        doom.arm()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), asked.set)
        click.echo("ready")
        await asked.wait()


@click.command()
@click.option("--database", required=True)
@click.option("--folder", required=True, type=click.Path(path_type=Path))
@click.option("--runs", required=True, type=int)
@click.option("--moment", type=click.Choice(MOMENTS), default="any")
@click.option("--passages", type=int, default=1)
def main(*, database: str, folder: Path, runs: int, moment: Any, passages: int) -> None:
    """Work until SIGTERM, the end of the input, or the death that ``--moment`` names."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_work(database, folder, Doom(moment, passages), runs))


if __name__ == "__main__":
    main()
