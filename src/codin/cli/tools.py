"""`codin tools`: what agents can be given."""

from __future__ import annotations

import click

from codin.cli.options import Overrides, platform_options
from codin.cli.output import json_option, print_rows
from codin.cli.text import short


@click.command()
@json_option
@platform_options
def tools(as_json: bool, overrides: Overrides) -> None:
    """The tools in the registry: the built-in ones and those of the settings."""
    from codin.gateway.tools import register_tools
    from codin.security import DEFAULT_ROLES, LOCAL_USER, RoleAuthorizer
    from codin.tool.registry import ToolRegistry

    registry = ToolRegistry(RoleAuthorizer(DEFAULT_ROLES))
    register_tools(registry, overrides.settings().tools)
    specs = [tool.spec for tool in registry.list(LOCAL_USER)]
    if as_json:
        print_rows((spec.model_dump(mode="json") for spec in specs), (), as_json=True)
        return
    rows = [
        {
            "name": spec.name,
            "origin": spec.origin,
            "runs": "trusted, in process" if spec.trusted else "in a sandbox",
            "arguments": ", ".join(spec.input_schema.get("properties", {})),
            "description": short(spec.description, 90),
        }
        for spec in specs
    ]
    print_rows(rows, ("name", "origin", "runs", "arguments", "description"), as_json=False)
