"""Exit codes, and how an error is said on the command line."""

from __future__ import annotations

import os
import sys
import traceback
from enum import IntEnum

import click

from codin.errors import CodinError, InvalidInputError


class ExitCode(IntEnum):
    """What a command's exit code means."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_MODEL = 3
    NEEDS_INPUT = 4
    INTERRUPTED = 130


def exit_code_of(error: BaseException) -> int:
    """The exit code for ``error``."""
    from codin.model import NoModelAvailable

    if isinstance(error, NoModelAvailable):
        return ExitCode.NO_MODEL
    return ExitCode.USAGE if isinstance(error, InvalidInputError) else ExitCode.FAILED


def say_error(error: Exception) -> None:
    """One sentence on stderr; with ``CODIN_DEBUG``, or for an error of codin's own, a traceback."""
    if not isinstance(error, CodinError) or os.environ.get("CODIN_DEBUG"):
        traceback.print_exception(error, file=sys.stderr)
    click.echo(f"codin: {error}", err=True)
