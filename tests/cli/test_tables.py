"""Tables for people: what folds where the terminal is narrow."""

import pytest

from codin.cli.output import print_rows

ROWS = [
    {"metric": "step overhead sqlite, langgraph", "baseline": "sqlite checkpointer 4.123"},
    {"metric": "dag 10000", "baseline": "dag 1000 8.535", "aim": "1.25 x baseline: yes"},
]


def shown(capsys, monkeypatch, width, rows=ROWS, columns=("metric", "baseline", "aim"), **options):
    monkeypatch.setenv("COLUMNS", str(width))
    print_rows(rows, columns, as_json=False, **options)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_nothing_folds_where_there_is_room(capsys, monkeypatch):
    assert shown(capsys, monkeypatch, 90) == [
        "metric                           baseline                   aim",
        "step overhead sqlite, langgraph  sqlite checkpointer 4.123",
        "dag 10000                        dag 1000 8.535             1.25 x baseline: yes",
    ]
    assert shown(capsys, monkeypatch, 20, least_width=90) == shown(capsys, monkeypatch, 90)


def test_the_widest_columns_fold_between_words(capsys, monkeypatch):
    assert shown(capsys, monkeypatch, 60) == [
        "metric              baseline             aim",
        "step overhead       sqlite checkpointer",
        "sqlite, langgraph   4.123",
        "dag 10000           dag 1000 8.535       1.25 x baseline:",
        "                                         yes",
    ]


@pytest.mark.parametrize("width", [80, 60, 40, 34])
def test_no_word_is_torn_that_has_room(capsys, monkeypatch, width):
    lines = shown(capsys, monkeypatch, width)
    assert max(map(len, lines)) <= width
    words = {word for row in ROWS for cell in row.values() for word in cell.split()}
    assert words <= {word for line in lines for word in line.split()}


def test_what_has_no_room_at_all_is_torn_but_whole(capsys, monkeypatch):
    rows = [{"id": "0123456789" * 3, "text": "漢字" * 10}]
    lines = shown(capsys, monkeypatch, 20, rows, ("id", "text"))
    assert "".join(line.split("  ")[0].strip() for line in lines[1:]).startswith("0123456789")
    assert "".join(lines).count("漢") == 10


def test_no_rows_are_the_names_of_columns(capsys, monkeypatch):
    assert shown(capsys, monkeypatch, 40, []) == ["metric  baseline  aim"]
