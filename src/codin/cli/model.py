"""`codin model`: which model is used, and fetching the embedded one."""

from __future__ import annotations

import asyncio

import click

from codin.cli.output import json_option, print_rows


@click.group()
def model() -> None:
    """Which language model is used, and how to get one."""


@model.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """Every way to a model, in the order in which they are tried."""
    from codin.model import describe_models

    rows = [
        {
            "provider": report.provider,
            "available": "yes" if report.available else "no",
            "used": "*" if report.chosen else "",
            "detail": report.detail,
        }
        for report in asyncio.run(describe_models())
    ]
    print_rows(rows, ("provider", "available", "used", "detail"), as_json=as_json)


@model.command()
@click.option("--from", "source", metavar="SOURCE", help="A URL or a file to try first.")
@click.option(
    "--if-needed", is_flag=True, help="Only when no other model is found (a key, a server)."
)
@click.option("--if-absent", is_flag=True, help="Say nothing when it is here already.")
def pull(source: str | None, if_needed: bool, if_absent: bool) -> None:
    """Fetch the embedded model (1.1 GB), once per user.

    What has been fetched is kept when it breaks off, and is checked against a pinned SHA-256.
    """
    if (if_needed and _found()) or (if_absent and _installed()):
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from codin.model import Progress as Pulled
    from codin.model import pull as pull_model

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
    with bar:
        row = bar.add_task("fetching", total=None)

        def shown(state: Pulled) -> None:
            bar.update(row, completed=state.done, total=state.total, description=state.source)

        path = asyncio.run(pull_model(source, progress=shown, say=console.print))
    console.print(f"the embedded model is at {path}", soft_wrap=True)


def _found() -> bool:
    from codin.model import ModelError, discover

    try:
        asyncio.run(discover())
    except ModelError:
        return False
    return True


def _installed() -> bool:
    from codin.model.embedded import weights

    return weights.installed() is not None
