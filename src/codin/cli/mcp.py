"""`codin mcp`: the tools for an MCP client that starts this as its server."""

from __future__ import annotations

import click

from codin.cli.exits import ExitCode
from codin.cli.options import Overrides, platform_options
from codin.loop import run


@click.command()
@platform_options
def mcp(overrides: Overrides) -> int:
    """Serve the tools over stdio, as an MCP server that a client starts.

    What is served by `codin up` is at /mcp as well.
    """
    return run(_serve(overrides))


async def _serve(overrides: Overrides) -> int:
    from codin.gateway.mcp import open_tools, serve_stdio

    def say(text: str) -> None:
        click.echo(text, err=True)  # stdout is the protocol's

    async with open_tools(overrides.settings(), say=say) as face:
        await serve_stdio(face)
    return ExitCode.OK
