"""A gateway in a process of its own, until it is told to stop: ``serve_team.py FOLDER``."""

import asyncio
import sys
from pathlib import Path

from codin.gateway.server import stop_signals
from codin.testing.serving import serve_agents
from codin.testing.team import TEAM, FixedPlanner


async def main(home: Path) -> None:
    async with stop_signals() as asked, serve_agents(home, TEAM, FixedPlanner()) as served:
        print(served.url, flush=True)
        await asked.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
