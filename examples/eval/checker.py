"""Judges an answer to a case of `goals.yaml`: are the right numbers and names in it?

    python examples/eval/checker.py CASE [--answer FILE] [--made FOLDER]

The answer is read from a file or from standard input, the files made from a folder. Prints one JSON
object and ends with 0 when the answer is right, 1 when it is not, 2 when it cannot be judged.

Numbers may be written as 1234.5, 1,234.50 or $1,234.50, shares as 47.6 % or 0.476. A name counts
only when the answer singles it out: a table of all candidates with no word about the best one is
right only if it is led by the right one.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import yaml

HERE = Path(__file__).parent
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
GROUPS = r",'\u2019\u00a0\u2009\u202f"  # what may stand between thousands
NUMBER = re.compile(
    r"(?<!\d[:.,-])(?<![\w.])"  # not the rest of a date, a time, a version or a word
    rf"[-\u2212]?(?:(?:\d{{1,3}}(?:[{GROUPS}]\d{{3}})+|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{{1,3}})?"
    r"(?![.,:]?\d)"
)
BEST = re.compile(
    r"\b(?:highest|most|top|best|largest|biggest|greatest|lead(?:s|ing|er)?|led|winn(?:er|ing)|won"
    r"|max(?:imum)?|peak(?:s|ed)?|busiest|beats?|strongest|ahead)\b",
    re.IGNORECASE,
)
RUNNER_UP = re.compile(r"\b(?:second|2nd|runner-up|third|3rd|next)\b", re.IGNORECASE)
SENTENCE = re.compile(r"\n+|(?<=[.!?;])\s+")
REPORTS = {".md", ".markdown", ".txt", ".html", ".rst"}
IMAGES = {
    ".png": re.compile(rb"\A\x89PNG\r\n\x1a\n.{200,}IEND.{4}\Z", re.DOTALL),
    ".jpg": re.compile(rb"\A\xff\xd8\xff.{200,}", re.DOTALL),
    ".jpeg": re.compile(rb"\A\xff\xd8\xff.{200,}", re.DOTALL),
    ".pdf": re.compile(rb"\A%PDF-.{200,}", re.DOTALL),
    ".svg": re.compile(rb"<svg\b.{200,}</svg>", re.DOTALL),
}


class Fact(TypedDict, total=False):
    """One thing that a right answer says; see the head of `goals.yaml`."""

    key: str
    kind: str
    value: Any
    tolerance: float
    among: list[str]


class Case(TypedDict):
    """One goal and what is expected of its answer."""

    id: str
    data: str
    goal: str
    facts: list[Fact]
    files: list[str]


@dataclass(frozen=True)
class Verdict:
    """What was found: `missing` names facts and files that a right answer would have had."""

    case: str
    right: bool
    missing: list[str] = field(default_factory=list)


def load(path: Path = HERE / "goals.yaml") -> dict[str, Case]:
    """The cases by id."""
    cases: list[Case] = yaml.safe_load(path.read_text(encoding="utf-8"))["cases"]
    return {case["id"]: case for case in cases}


def numbers(text: str) -> Iterator[float]:
    """Every number of a text, whatever way it is written."""
    for match in NUMBER.finditer(text):
        yield float(re.sub(f"[{GROUPS}]", "", match[0]).replace("\u2212", "-"))


def near(text: str, value: float, tolerance: float) -> bool:
    """Whether a number of the text is within `tolerance` of the value."""
    return any(abs(number - value) <= tolerance + 1e-9 for number in numbers(text))


def month_pattern(month: int) -> str:
    """The ways to write a month: September, Sept, 2025-09, 09/2025, month 9."""
    name = MONTHS[month - 1]
    short = r"Sept?" if month == 9 else name[:3]
    # The verb "may" is no month.
    words = "May" if month == 5 else f"(?i:{name}|{short})"
    digits = rf"\d{{4}}-{month:02d}|0?{month}/\d{{4}}|(?i:month)\W{{1,4}}(?i:is |was )?0?{month}"
    return rf"(?<![\w/-])(?:{words}|{digits})(?!\w)"


def says_hour(text: str, hour: int) -> bool:
    """Whether the text names an hour of the day: 18, 18:00, 6 pm."""
    half = "p" if hour >= 12 else "a"
    clock = rf"\b0?{hour}(?::\d\d|\s?h\b)|\b0?{hour % 12 or 12}(?::00)?\s?{half}\.?m\b"
    return bool(re.search(clock, text, re.IGNORECASE)) or near(text, hour, 0)


def singles_out(text: str, wanted: str, patterns: Mapping[str, str]) -> bool:
    """Whether the text gives one of several candidates as the best one.

    It does when it names no other, or when the first sentence about the best one names it before
    any other, or, in a text without such a sentence, when it is the first one named at all.
    """
    if set(mentioned(text, patterns)) <= {wanted}:
        return bool(mentioned(text, patterns))
    for sentence in SENTENCE.split(text):
        if BEST.search(sentence) and not RUNNER_UP.search(sentence):
            named = mentioned(sentence, patterns)
            if named:
                return named[0] == wanted
    return mentioned(text, patterns)[0] == wanted


def mentioned(text: str, patterns: Mapping[str, str]) -> list[str]:
    """The candidates that a text names, in the order of their first mention."""
    found = {name: re.search(pattern, text) for name, pattern in patterns.items()}
    return sorted(
        (name for name, match in found.items() if match),
        key=lambda name: match.start() if (match := found[name]) else 0,
    )


def holds(fact: Fact, text: str) -> bool:
    """Whether the text says the fact. Raises `ValueError` on a fact of an unknown kind."""
    value = fact["value"]
    match fact["kind"]:
        case "name":
            patterns = {name: rf"(?i)\b{re.escape(name)}s?\b" for name in fact["among"]}
            return singles_out(text, value, patterns)
        case "month":
            return singles_out(text, str(value), {str(m): month_pattern(m) for m in range(1, 13)})
        case "hour":
            return says_hour(text, value)
        case "count":
            return near(text, value, 0)
        case "number":
            return near(text, value, fact["tolerance"])
        case "percent":
            shares = (number * scale for number in numbers(text) for scale in (1, 100))
            return any(abs(share - value) <= fact["tolerance"] + 1e-9 for share in shares)
    raise ValueError(f"fact {fact['key']!r} has the unknown kind {fact['kind']!r}")


def unsaid(case: Case, text: str) -> list[str]:
    """The keys of the facts that the text does not say."""
    return [fact["key"] for fact in case["facts"] if not holds(fact, text)]


def is_chart(name: str, content: bytes) -> bool:
    """Whether a file is an image with something in it."""
    pattern = IMAGES.get(Path(name).suffix.lower())
    return bool(pattern and pattern.search(content))


def check(case: Case, answer: str, made: Mapping[str, bytes] | None = None) -> Verdict:
    """Judges an answer and the files (name: content) made beside it.

    Where a report is asked for, a report has to say all the facts, and the answer has to say them
    too or to name that report's file. Otherwise the answer has to say them.
    """
    made = made or {}
    missing = unsaid(case, answer)
    if "report" in case["files"]:
        texts = {
            name: content.decode("utf-8", "replace")
            for name, content in made.items()
            if Path(name).suffix.lower() in REPORTS
        }
        good = [name for name, text in texts.items() if not unsaid(case, text)]
        if not good:
            missing.append("report")
        elif any(Path(name).name in answer for name in good):
            missing = []
    if "chart" in case["files"] and not any(is_chart(*file) for file in made.items()):
        missing.append("chart")
    return Verdict(case["id"], not missing, missing)


def files_in(folder: Path, given: Path = HERE.parent / "data") -> dict[str, bytes]:
    """The files below a folder, without unchanged copies of what was given."""
    originals = {path.read_bytes() for path in given.rglob("*") if path.is_file()}
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return {name: content for name, content in found.items() if content not in originals}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Judge an answer to one of the example goals.")
    parser.add_argument("case", help="the id of a case in goals.yaml")
    parser.add_argument("--answer", type=Path, help="the answer; standard input if left out")
    parser.add_argument("--made", type=Path, help="the folder with the files made")
    options = parser.parse_args()
    cases = load()
    if options.case not in cases:
        parser.error(f"no case {options.case!r}; there are {', '.join(cases)}")
    case = cases[options.case]
    answer = options.answer.read_text(encoding="utf-8") if options.answer else sys.stdin.read()
    verdict = check(case, answer, files_in(options.made) if options.made else None)
    print(json.dumps(asdict(verdict)))
    return 0 if verdict.right else 1


if __name__ == "__main__":
    raise SystemExit(main())
