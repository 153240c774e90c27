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
    """Rows as lines of JSON, or as a table of ``columns``. It is as wide as the terminal, but has
    ``least_width`` characters at least. Where that is too little the widest columns fold, between
    words while that is enough, and then anywhere."""
    if as_json:
        for row in rows:
            print_json(row)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from codin.cli.text import clean

    console = Console()
    console.width = max(console.width, least_width)
    table = Table(box=None, pad_edge=False, header_style="bold")
    lines = [[clean(str(row.get(column, ""))) for column in columns] for row in rows]
    for column, width in zip(columns, _widths([columns, *lines], console.width), strict=True):
        table.add_column(column, overflow="fold", width=width)
    for line in lines:
        table.add_row(*map(Text, line))
    console.print(table)


_GAP = 2
"""Between two columns."""


def _widths(lines: Sequence[Sequence[str]], room: int) -> list[int]:
    """How wide the columns of ``lines`` are, so that they fit into ``room`` if they can."""
    from rich.cells import cell_len

    columns = list(zip(*lines, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    words = [
        max(cell_len(word) for cell in column for word in (cell.split() or [""]))
        for column in columns
    ]
    over = sum(widths) + _GAP * (len(widths) - 1) - room
    for least in (words, [1] * len(widths)):
        while over > 0 and (wide := [n for n, width in enumerate(widths) if width > least[n]]):
            widths[max(wide, key=widths.__getitem__)] -= 1
            over -= 1
    return widths
