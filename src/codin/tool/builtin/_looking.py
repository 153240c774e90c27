"""Looks at files, inside the sandbox. Standard library only: it is shipped there as source."""

from __future__ import annotations

import csv
import itertools
import json
import os
from typing import Any

_MAX_CHARS = 1200
_VALUE_CHARS = 40
_FEW = 12
_MAX_DISTINCT = 2000
_SNIFF_BYTES = 64 * 1024
_MAX_JSON_BYTES = 64 * 1024 * 1024


def read_lines(path: str, start: int, most: int, limit: int) -> dict[str, Any]:
    """``most`` lines from line ``start`` on, in at most ``limit`` characters."""
    with open(path, "rb") as file:
        head = file.read(_SNIFF_BYTES)
    if b"\0" in head:
        return {"binary": True, "size": os.path.getsize(path)}
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        text, count, more = "", 0, False
        for line in itertools.islice(file, start - 1, start - 1 + most):
            if len(text) + len(line) > limit:
                text, more = text or line[:limit], True
                break
            text += line
            count += 1
        return {"text": text, "lines": count, "more": more or bool(next(file, ""))}


def describe(path: str) -> str:
    """What is in a file, in at most 1,200 characters."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(_SNIFF_BYTES)
    name = os.path.relpath(path, "/workspace") if os.path.isabs(path) else path
    title = f"{name}: {size:,} bytes"
    if b"\0" in head:
        return f"{title}, not text"
    suffix = os.path.splitext(path)[1].lower()
    if suffix in (".json", ".jsonl", ".ndjson"):
        text = _json_file(path, size, suffix)
    elif suffix in (".csv", ".tsv", ".tab") or _looks_like_table(head):
        text = _table(path, head, suffix)
    else:
        text = _text(path)
    return _within(f"{title}, {text}")


def _within(text: str) -> str:
    return text if len(text) <= _MAX_CHARS else text[: _MAX_CHARS - 4] + " ..."


def _looks_like_table(head: bytes) -> bool:
    lines = head.decode("utf-8", "replace").splitlines()[:20]
    if len(lines) < 3:
        return False
    counts = {line.count(mark) for mark in (",", ";", "\t") for line in lines[:1]}
    best = max((",", ";", "\t"), key=lines[0].count)
    return max(counts) > 0 and len({line.count(best) for line in lines[:-1]}) == 1


def _delimiter(head: bytes, suffix: str) -> str:
    if suffix in (".tsv", ".tab"):
        return "\t"
    line = head.decode("utf-8", "replace").split("\n", 1)[0]
    return max((",", ";", "\t", "|"), key=line.count)


class _Column:
    def __init__(self, name: str) -> None:
        self.name = name
        self.empty = self.rows = 0
        self.kinds = {"int": True, "float": True, "date": True, "bool": True}
        self.low: Any = None
        self.high: Any = None
        self.distinct: dict[str, int] | None = {}

    def add(self, value: str) -> None:
        self.rows += 1
        if value == "":
            self.empty += 1
            return
        if self.distinct is not None:
            self.distinct[value] = self.distinct.get(value, 0) + 1
            if len(self.distinct) > _MAX_DISTINCT:
                self.distinct = None
        self._narrow(value)

    def _narrow(self, value: str) -> None:
        kinds = self.kinds
        if kinds["bool"] and value.lower() not in ("true", "false", "yes", "no"):
            kinds["bool"] = False
        if kinds["float"]:
            number = _number(value)
            if number is None:
                kinds["int"] = kinds["float"] = False
            else:
                kinds["int"] = kinds["int"] and value.lstrip("+-").isdigit()
                self.low = number if self.low is None else min(self.low, number)
                self.high = number if self.high is None else max(self.high, number)
        if kinds["date"] and not _date(value):
            kinds["date"] = False
        elif kinds["date"]:
            self.low = value if self.low is None else min(self.low, value)
            self.high = value if self.high is None else max(self.high, value)

    def line(self, few: int) -> str:
        if self.rows == self.empty:
            return f"- {self.name}: empty"
        kind = next((kind for kind in ("int", "float", "date", "bool") if self.kinds[kind]), "text")
        note = ""
        if kind in ("int", "float", "date") and self.low is not None:
            low, high = (f"{x:g}" if isinstance(x, float) else x for x in (self.low, self.high))
            note = f" {low} to {high}"
        elif self.distinct is not None and len(self.distinct) <= few:
            note = ": " + ", ".join(_cut(value) for value in sorted(self.distinct))
        elif self.distinct is not None:
            note = f", {len(self.distinct)} distinct"
        empty = f", {self.empty} empty" if self.empty else ""
        shown = "date as text (year .str[:4], month .str[:7])," if kind == "date" else kind
        return f"- {self.name}: {shown}{note}{empty}"


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if number - number == 0 and "_" not in value else None


def _date(value: str) -> bool:
    return (
        len(value) >= 10
        and value[4:5] == value[7:8] == "-"
        and value[:4].isdigit()
        and value[5:7].isdigit()
        and value[8:10].isdigit()
    )


def _table(path: str, head: bytes, suffix: str) -> str:
    delimiter = _delimiter(head, suffix)
    csv.field_size_limit(1 << 20)
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv.reader(file, delimiter=delimiter)
        columns = [
            _Column(name.strip() or f"column {n}") for n, name in enumerate(next(rows, []), 1)
        ]
        samples: list[list[str]] = []
        count = 0
        for row in rows:
            if not row:
                continue
            count += 1
            if len(samples) < 3:
                samples.append(row)
            for column, value in zip(columns, row, strict=False):
                column.add(value.strip())
    named = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}[delimiter]
    start = f"{count:,} rows, {len(columns)} columns, separated by {named}\n"
    shown = "\n".join(delimiter.join(_cut(value) for value in row) for row in samples)
    return _fitted(start, columns, shown)


def _fitted(start: str, columns: list[_Column], samples: str) -> str:
    """The columns matter most: values and samples give way to them."""
    for few, with_samples in ((_FEW, True), (6, True), (6, False), (0, False)):
        text = start + "\n".join(column.line(few) for column in columns)
        if with_samples and samples:
            text += "\nFirst rows:\n" + samples
        if len(text) <= _MAX_CHARS - 100:
            return text
    return start + "Columns: " + ", ".join(column.name for column in columns)


def _json_file(path: str, size: int, suffix: str) -> str:
    if suffix != ".json":
        with open(path, encoding="utf-8", errors="replace") as file:
            first = file.readline()
            count = 1 + sum(1 for _ in file)
        return f"{count:,} lines of JSON\nFirst: {first.strip()[:600]}"
    if size > _MAX_JSON_BYTES:
        return "JSON, too large to look into"
    with open(path, encoding="utf-8-sig") as file:
        try:
            data = json.load(file)
        except ValueError as error:
            return f"no valid JSON: {error}"
    if isinstance(data, list):
        first = json.dumps(data[0], ensure_ascii=False)[:600] if data else "nothing"
        return f"JSON list of {len(data):,}\nFirst: {first}"
    if isinstance(data, dict):
        lines = [f"- {key}: {_shape(value)}" for key, value in itertools.islice(data.items(), 30)]
        return f"JSON object of {len(data):,} keys\n" + "\n".join(lines)
    return f"JSON: {_shape(data)}"


def _shape(value: Any) -> str:
    if isinstance(value, list):
        return f"list of {len(value):,}"
    if isinstance(value, dict):
        return "object of " + ", ".join(str(key) for key in itertools.islice(value, 8))
    return _cut(json.dumps(value, ensure_ascii=False))


def _text(path: str) -> str:
    lines = words = 0
    first: list[str] = []
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        for line in file:
            lines += 1
            words += len(line.split())
            if len(first) < 8:
                first.append(line.rstrip("\n")[:160])
    return f"{lines:,} lines, {words:,} words\nBegins:\n" + "\n".join(first)


def _cut(value: Any) -> str:
    text = str(value).replace("\n", " ")
    return text if len(text) <= _VALUE_CHARS else text[: _VALUE_CHARS - 1] + "…"
