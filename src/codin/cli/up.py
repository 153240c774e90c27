"""`codin up`: the platform as a server, with its page."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from codin.cli.exits import ExitCode
from codin.cli.options import Overrides, platform_options
from codin.config import DEFAULT_FILE
from codin.loop import run

if TYPE_CHECKING:
    from codin.config import Settings
    from codin.gateway.platform import Platform
    from codin.gateway.serving import Served


@click.command()
@click.argument("sources", nargs=-1)
@click.option("--host", help="The address to serve on; others than loopback need [security] auth.")
@click.option("--port", type=click.IntRange(0, 65_535), help="0 takes a free one.")
@click.option("--grpc-port", type=click.IntRange(0, 65_535), help="Serve gRPC too; 0: a free one.")
@click.option("--public-url", metavar="URL", help="Where others reach it, behind a proxy.")
@click.option("--root", metavar="ID", help="The agent in front, instead of the orchestrator.")
@click.option("--reload", is_flag=True, help="Start agents anew when their files change.")
@click.option("--e2b", is_flag=True, help="Serve sandboxes to E2B's SDKs, at /e2b.")
@platform_options
def up(
    sources: tuple[str, ...],
    overrides: Overrides,
    *,
    e2b: bool,
    reload: bool,
    **server: str | int | None,
) -> int:
    """Serve the page and every agent over A2A. SOURCES are agents besides those of the settings."""
    from dataclasses import replace

    overrides = replace(overrides, agents=overrides.agents + sources)
    settings = overrides.settings()
    given = {key: value for key, value in server.items() if value is not None}
    settings = settings.with_server(**given)
    if e2b:
        enabled = settings.e2b.model_copy(update={"enabled": True})
        settings = settings.model_copy(update={"e2b": enabled})
    return run(_serve(settings, overrides if reload else None))


async def _serve(settings: Settings, again: Overrides | None) -> int:
    from codin.gateway.opening import open_platform
    from codin.gateway.server import stop_signals
    from codin.gateway.serving import check_server, is_plain, serve, with_e2b
    from codin.model import discover

    guarded = settings.security.auth
    check_server(settings.server, guarded=guarded)
    choice = await discover(settings.model)
    click.echo(f"model: {choice.label} ({choice})", err=True)
    async with stop_signals() as asked:
        opening = asyncio.create_task(asked.wait())
        async with open_platform(settings, choice, say=_say) as platform:
            for problem in platform.problems:
                _say(str(problem))
            if is_plain(settings.server):
                _say("keys and tokens travel in the clear, unless a proxy in front speaks TLS")
            if guarded:
                _say("callers have to show a key or token: `codin auth key add` makes keys")
            async with (
                with_e2b(platform.parts(), settings) as parts,
                serve(parts, settings.server, guarded=guarded) as served,
                _reloading(platform, again),
            ):
                gc.collect()
                gc.freeze()  # what is loaded by now stays: it need not be looked through again
                click.echo(_where(served))
                for line in _for_e2b(served) if settings.e2b.enabled else ():
                    click.echo(line)
                await opening
                _say("stopping; tasks at work go on when codin starts again")
    return ExitCode.OK


def _reloading(platform: Platform, again: Overrides | None) -> AbstractAsyncContextManager[None]:
    """Has agents made anew as ``again`` says, until the block ends."""
    if again is None:
        return nullcontext()
    from codin.gateway.reloading import Reloader, reloading

    return reloading(
        Reloader(
            platform.team,
            platform.agents,
            platform.hosts,
            _say,
            remote=platform.trust.remote.wrap,
            entries=lambda: again.settings().agents,
            settings=again.config or Path(DEFAULT_FILE),
        )
    )


def _where(served: Served) -> str:
    grpc = f"; gRPC at {served.grpc}" if served.grpc else ""
    return f"codin is at {served.url} (the page; A2A, JSON-RPC and HTTP+JSON){grpc}"


def _for_e2b(served: Served) -> tuple[str, ...]:
    """What a shell is to be told, so that E2B's SDKs come here."""
    return tuple(f"export {name}={served.url}/e2b" for name in ("E2B_API_URL", "E2B_SANDBOX_URL"))


def _say(text: str) -> None:
    click.echo(text, err=True)
