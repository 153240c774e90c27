"""Serves the agents of a host, and the loopback door to the models."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import uvicorn

from codin.agent.base import Agent
from codin.agent.host.app import HostApp
from codin.agent.host.forwarder import forwarder_app
from codin.agent.host.platform_client import PlatformClient, platform_http
from codin.agent.host.runs import ActiveRuns
from codin.agent.host.server import Server
from codin.agent.host.wire import HostProblem
from codin.signals import on_signals


async def serve(
    agents: Sequence[Agent],
    problems: Sequence[HostProblem],
    *,
    loopback: socket.socket,
    service: Path,
    platform: Path,
) -> None:
    """Serve ``agents`` on the Unix socket ``service`` until the process is asked to end.

    ``loopback`` is the bound socket of the forwarder; ``platform`` is the host API's socket.
    """
    port = loopback.getsockname()[1]
    runs = ActiveRuns()
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    door.bind(str(service))
    async with platform_http(str(platform)) as http:
        url = f"http://127.0.0.1:{port}/v1"
        host = HostApp(agents, problems, PlatformClient(http), runs, url)
        servers = [Server(host.app), Server(forwarder_app(http, runs))]
        with on_signals(partial(_ask_to_exit, servers)):
            await asyncio.gather(
                servers[0].serve(sockets=[door]), servers[1].serve(sockets=[loopback])
            )
        await host.aclose()


def _ask_to_exit(servers: Sequence[uvicorn.Server]) -> None:
    for server in servers:
        server.should_exit = True
