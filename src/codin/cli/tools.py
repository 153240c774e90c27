"""`codin tools`: what agents can be given."""

from __future__ import annotations

import asyncio
from shutil import get_terminal_size
from typing import TYPE_CHECKING

import click

from codin.cli.options import Overrides, platform_options
from codin.cli.output import json_option, print_rows
from codin.cli.text import short

if TYPE_CHECKING:
    from codin.tool.base import ToolSpec


_BESIDE_NAMES = 75
_BEFORE_DESCRIPTIONS = 35
_MANY = 40


@click.command()
@click.option(
    "--search", metavar="WORDS", help="Only the ten that fit the words best, the best first."
)
@json_option
@platform_options
def tools(search: str | None, as_json: bool, overrides: Overrides) -> None:
    """The tools in the registry: the built-in ones, those of the settings, of APIs, and of MCP
    servers."""
    specs, problems = asyncio.run(_registered(overrides, search))
    for problem in problems:
        click.echo(problem, err=True)
    if as_json:
        print_rows((spec.model_dump(mode="json") for spec in specs), (), as_json=True)
        return
    if search is not None and not specs:
        click.echo(f"No tool fits {search!r}.", err=True)
        return
    # whole names: they are what an agent's entry has
    names = max((len(spec.name) for spec in specs), default=0)
    width = max(names + _BESIDE_NAMES, get_terminal_size().columns)
    rows = [
        {
            "name": spec.name,
            "origin": spec.origin,
            "runs": _where(spec),
            # of more than a line, a search in what is printed finds a part
            "description": short(_summary(spec), width - names - _BEFORE_DESCRIPTIONS),
        }
        for spec in specs
    ]
    columns = ("name", "origin", "runs", "description")
    print_rows(rows, columns, as_json=False, least_width=width)
    if search is None and len(specs) > _MANY:
        click.echo(f"{len(specs):,} tools: --search WORDS finds the ten that fit best.", err=True)


def _summary(spec: ToolSpec) -> str:
    return spec.description.partition("\n")[0]


def _where(spec: ToolSpec) -> str:
    """Where a call is done."""
    if spec.trusted:
        return "trusted, in process"
    return "request from here" if spec.origin == "openapi" else "in a sandbox"


async def _registered(overrides: Overrides, words: str | None) -> tuple[list[ToolSpec], list[str]]:
    """The specs of the tools, or of those that fit ``words``, and what cannot be used."""
    from codin.gateway.sandboxes import local_provider
    from codin.gateway.tools import open_sources
    from codin.security import DEFAULT_ROLES, LOCAL_USER, OutgoingGuard, RoleAuthorizer
    from codin.tool.finding.search import ToolSearch
    from codin.tool.registry import ToolRegistry

    settings = overrides.settings()
    registry = ToolRegistry(RoleAuthorizer(DEFAULT_ROLES))
    guard = OutgoingGuard(settings.security.outgoing)
    provider = local_provider(settings)
    try:
        async with open_sources(registry, settings, guard, provider) as sources:
            listed = {tool.name: tool for tool in registry.list(LOCAL_USER)}
            specs = [tool.spec for tool in listed.values()]
            if words is not None:
                specs = await ToolSearch(registry).find(words, listed)
            told = [f"{problem.source}: {problem.message}" for problem in sources.problems]
            return specs, told
    finally:
        await provider.close()
