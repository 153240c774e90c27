"""`codin sandbox`: a shell, or a file, in a place apart from everything else."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from codin.errors import InvalidInputError

if TYPE_CHECKING:
    from codin.sandbox import SandboxProvider, SandboxSpec

F = TypeVar("F", bound=Callable[..., Any])

_UNITS: Mapping[str, int] = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


class _RunOrShell(click.Group):
    """Without the name of a command it is ``run`` for a file, else ``shell``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["shell" if not args or args[0].startswith("-") else "run", *args]
        return super().parse_args(ctx, args)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the flags say of the sandbox."""

    backend: str
    least: str
    network: tuple[str, ...]
    memory: str
    seconds: float | None
    workspace: Path | None
    packages: tuple[str, ...]

    def spec(self) -> SandboxSpec:
        """The sandbox that is asked for.

        Raises:
            InvalidInputError
        """
        from codin.sandbox import Isolation, Limits, SandboxSpec

        open_ = self.network == ("open",)
        limits = Limits(
            memory_bytes=_bytes_of(self.memory),
            wall_seconds=self.seconds,
            output_bytes=None,
            network="open" if open_ else self.network or "none",
        )
        return SandboxSpec(
            limits=limits,
            least=Isolation(self.least),
            workspace=self.workspace,
            requirements=self.packages,
        )

    def provider(self) -> SandboxProvider:
        """What makes it.

        Raises:
            SandboxUnavailable: the backend is not installed.
        """
        from codin.runtime.providers import provider_of

        return provider_of(self.backend)


def _options(command: F) -> F:
    """The flags of ``Wanted``, given as one ``wanted``."""

    @functools.wraps(command)  # with the parameters that click has put on it
    def combined(*args: Any, **kwargs: Any) -> Any:
        fields = {name: kwargs.pop(name) for name in Wanted.__dataclass_fields__}
        return command(*args, wanted=Wanted(**fields), **kwargs)

    decorated: Any = combined
    for option in reversed(_FLAGS):
        decorated = option(decorated)
    result: F = decorated
    return result


_FLAGS = (
    click.option(
        "--backend",
        type=click.Choice(["local", "docker"]),
        default="local",
        show_default=True,
        help="What makes it.",
    ),
    click.option(
        "--least",
        type=click.Choice(["process", "namespace", "gvisor", "container"]),
        default="namespace",
        show_default=True,
        help="The weakest isolation to accept.",
    ),
    click.option(
        "--network",
        multiple=True,
        metavar="HOST:PORT",
        help='What it may reach (or "open"); nothing, when not given. Repeatable.',
    ),
    click.option("--memory", default="1g", show_default=True, help="As bytes, or with k, m or g."),
    click.option("--seconds", type=float, help="How long a command may take."),
    click.option(
        "--workspace",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        help="A folder of this machine to work in, writable; else a fresh one.",
    ),
    click.option(
        "--package",
        "packages",
        multiple=True,
        metavar="NAME",
        help="A Python package that is found inside. Repeatable.",
    ),
)


@click.group(cls=_RunOrShell)
def sandbox() -> None:
    """Open a shell in a sandbox, or run a file in one."""


@sandbox.command()
@_options
def shell(wanted: Wanted) -> int:
    """A shell with nothing of this machine in reach. (The default.)

    Given from a terminal, it has one of its own inside. What it prints is passed on as it is.
    """
    from codin.cli.console import Console, shell_command

    console = Console()
    return asyncio.run(_run(wanted, shell_command(console), console, {}))


@sandbox.command(context_settings={"ignore_unknown_options": True})
@_options
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def run(wanted: Wanted, file: Path, args: tuple[str, ...]) -> int:
    """Run a Python or shell file, with its output as it comes and its exit code as this one's."""
    from codin.cli.console import Console

    data = file.read_bytes()
    argv = [_program(file, data), file.name, *args]
    return asyncio.run(_run(wanted, argv, Console(plain=True), {file.name: data}))


async def _run(wanted: Wanted, argv: list[str], console: Any, files: Mapping[str, bytes]) -> int:
    provider = wanted.provider()
    try:
        async with await provider.create(wanted.spec()) as place:
            for name, data in files.items():
                await place.fs.write(name, data)
            code: int = await console.run(place, argv)
    finally:
        await provider.close()
    return code if code >= 0 else 128 - code


def _program(file: Path, data: bytes) -> str:
    first = data.partition(b"\n")[0]
    is_python = file.suffix == ".py" or (first.startswith(b"#!") and b"python" in first)
    return "python" if is_python else "bash"


def _bytes_of(text: str) -> int:
    number, unit = text.lower().rstrip("ib"), ""
    if number and number[-1] in _UNITS:
        number, unit = number[:-1], number[-1]
    try:
        return int(float(number) * _UNITS[unit])
    except (ValueError, OverflowError):
        raise InvalidInputError(
            f"{text!r} is no size: give bytes, or a number with k, m or g"
        ) from None
