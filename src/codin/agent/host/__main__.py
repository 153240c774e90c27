"""``python -m codin.agent.host SOURCE...``: serve agents over A2A on a Unix socket."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from pathlib import Path

import click

from codin.agent.host.attribution import mark_model_requests
from codin.agent.host.environment import prepare_environment
from codin.agent.host.wire import (
    INSIDE,
    MAX_MESSAGE,
    PLATFORM_SOCKET,
    SERVICE_SOCKET,
    HostProblem,
)


@click.command()
@click.argument("sources", nargs=-1, required=True)
@click.option("--run-dir", default=INSIDE, type=click.Path(path_type=Path), show_default=True)
def main(sources: tuple[str, ...], run_dir: Path) -> None:
    """Serve the agents of SOURCES (a file, file:attr, a folder, or module:attr)."""
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    loopback = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    loopback.bind(("127.0.0.1", 0))
    port = loopback.getsockname()[1]
    # In this order: agents' modules make their SDK clients when they are imported.
    prepare_environment(os.environ, port)
    mark_model_requests(port)
    # The server first: agents' frameworks may bring what it is better imported without (sdk.py).
    from codin.agent.host.serving import serve  # isort: skip
    from codin.agent.discovery import discover

    found = discover(sources)
    problems = [
        HostProblem(source=p.source, error_type=p.error_type, message=p.message[:MAX_MESSAGE])
        for p in found.problems
    ]
    asyncio.run(
        serve(
            found.agents,
            problems,
            loopback=loopback,
            service=run_dir / SERVICE_SOCKET,
            platform=run_dir / PLATFORM_SOCKET,
        )
    )


if __name__ == "__main__":
    main(prog_name="python -m codin.agent.host")
