"""How commands print: tables for people, lines of JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from codin.task import LogEvent

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print lines of JSON instead of text."
)


def print_json(value: Any) -> None:
    """One line of JSON."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str))


def print_event(event: LogEvent) -> None:
    """A log entry, the same whenever it is printed."""
    print_json(
        {
            "task_id": event.task_id,
            "seq": event.seq,
            "kind": event.kind,
            "time": event.time,
            "body": event.shown,
        }
    )


def print_rows(
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    as_json: bool,
    least_width: int = 0,
) -> None:
    """Rows as lines of JSON, or as a table of ``columns``, of which the last one may fold. It is as
    wide as the terminal, but has ``least_width`` characters at least."""
    if as_json:
        for row in rows:
            print_json(row)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from codin.cli.text import clean

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column != columns[-1])
    for row in rows:
        table.add_row(*(Text(clean(str(row.get(column, "")))) for column in columns))
    console = Console()
    console.width = max(console.width, least_width)
    console.print(table)
