"""``python -m codin.agent.host SOURCE...``: serve agents over A2A on a Unix socket."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
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
@click.option("--end-with-stdin", is_flag=True, help="End when stdin does, as its platform's pipe.")
def main(sources: tuple[str, ...], run_dir: Path, *, end_with_stdin: bool) -> None:
    """Serve the agents of SOURCES (a file, file:attr, a folder, or module:attr)."""
    if end_with_stdin:
        _end_with(_taken_stdin())
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    # With its protocol, without which asyncio lets each piece wait for the one before (Nagle).
    loopback = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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


def _taken_stdin() -> int:
    """What stdin was; agents find an empty one in its place."""
    taken = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return taken


def _end_with(pipe: int) -> None:
    """End this process when ``pipe`` does. The kernel ends a sandbox with the process that began
    it, but not when that one is killed in the moment between the two."""

    def wait() -> None:
        while os.read(pipe, 4096):
            pass
        os._exit(0)

    threading.Thread(target=wait, name="codin-lifeline", daemon=True).start()


if __name__ == "__main__":
    main(prog_name="python -m codin.agent.host")
