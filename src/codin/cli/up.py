"""`codin up`: the platform as a server, with its page."""

from __future__ import annotations

import asyncio

import click

from codin.cli.exits import ExitCode
from codin.cli.options import Overrides, platform_options


@click.command()
@click.argument("sources", nargs=-1)
@click.option("--host", help="A loopback address to serve on.")
@click.option("--port", type=click.IntRange(0, 65_535), help="0 takes a free one.")
@platform_options
def up(sources: tuple[str, ...], host: str | None, port: int | None, overrides: Overrides) -> int:
    """Serve the page and every agent over A2A. SOURCES are agents besides those of the settings."""
    from dataclasses import replace

    settings = replace(overrides, agents=overrides.agents + sources).settings()
    server = settings.server.model_copy(
        update={key: value for key, value in (("host", host), ("port", port)) if value is not None}
    )
    return asyncio.run(_serve(settings.model_copy(update={"server": server})))


async def _serve(settings: object) -> int:
    from codin.config import Settings
    from codin.gateway.app import create_app
    from codin.gateway.platform import open_platform
    from codin.gateway.server import HttpServer, stop_signals
    from codin.model import discover

    assert isinstance(settings, Settings)
    choice = await discover(settings.model)
    click.echo(f"model: {choice.label} ({choice})", err=True)
    async with stop_signals() as asked:
        opening = asyncio.create_task(asked.wait())
        async with open_platform(settings, choice, say=_say) as platform:
            for problem in platform.problems:
                _say(f"left out {problem.source}: {problem.message}")
            server = HttpServer(
                create_app(platform.parts()),
                host=settings.server.host,
                port=settings.server.port,
            )
            async with server:
                click.echo(f"codin is at {server.url} (the page; A2A, JSON-RPC and HTTP+JSON)")
                await opening
                _say("ending what runs ...")
    return ExitCode.OK


def _say(text: str) -> None:
    click.echo(text, err=True)
