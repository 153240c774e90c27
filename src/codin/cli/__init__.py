"""The command line. Each command's module is imported when the command is used."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module

import click

from codin import __version__
from codin.cli.exits import exit_code_of, say_error

COMMANDS: Mapping[str, str] = {
    "run": "codin.cli.run:run",
    "plan": "codin.cli.plan:plan",
    "up": "codin.cli.up:up",
    "doctor": "codin.cli.doctor:doctor",
    "model": "codin.cli.model:model",
    "agents": "codin.cli.agents:agents",
    "tools": "codin.cli.tools:tools",
    "mcp": "codin.cli.mcp:mcp",
    "sandbox": "codin.cli.sandbox:sandbox",
    "matrix": "codin.cli.matrix:matrix",
    "tasks": "codin.cli.tasks:tasks",
    "memory": "codin.cli.memory:memory",
    "auth": "codin.cli.auth:auth",
    "eval": "codin.cli.evaluate:evaluate",
    "bench": "codin.cli.bench:bench",
}


class _LazyGroup(click.Group):
    """Commands in the order of ``COMMANDS``, imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="codin")
def cli() -> None:
    """Agents of any framework, one tool registry, any runtime, over A2A."""


def main() -> None:
    """The entry point: errors are one sentence on stderr, and the exit code is honest."""
    try:
        result = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except Exception as error:
        say_error(error)
        sys.exit(exit_code_of(error))
    sys.exit(result if isinstance(result, int) else 0)
