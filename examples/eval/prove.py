"""Runs the goals of `goals.yaml` as a user would, by `codin run`, and judges the answers.

    python examples/eval/prove.py [CASE ...] [--model PROVIDER:NAME] [--seconds N] [--out FILE]

Prints a line for each case and ends with 0 when at least eight of ten are right (the same share of
those that were chosen). `--out` keeps the answers and what was missing in them, as JSON.
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import checker

EXAMPLES = Path(__file__).parent.parent
SHARE = 0.8


@dataclass
class Run:
    """What came out of one goal: its exit code, seconds, answer, and files by name."""

    case: str
    exit_code: int
    seconds: float
    answer: str = ""
    made: dict[str, bytes] = field(default_factory=dict)
    said: str = ""


def run(case: checker.Case, model: str | None, seconds: float) -> Run:
    """Run one goal in a process of its own, on its data set."""
    command = [
        *(sys.executable, "-m", "codin", "run", "--json"),
        *("--config", str(EXAMPLES / "team" / "codin.toml")),
        *("--data", str(EXAMPLES / "data" / case["data"])),
        *(("--model", model) if model else ()),
        *("--", case["goal"]),
    ]
    begun = time.monotonic()
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds)
        code, out, said = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as error:
        code, out, said = 124, _text(error.stdout), _text(error.stderr)
    result = Run(case["id"], code, time.monotonic() - begun, said=said[-2000:])
    read(result, (json.loads(line) for line in out.splitlines() if line.startswith("{")))
    return result


def read(result: Run, events: Iterable[dict[str, Any]]) -> None:
    """Take the answer and the files from the goal's own artifacts."""
    for event in events:
        if event["kind"] != "artifact":
            continue
        artifact = event["body"]["artifact"]
        for part in artifact["parts"]:
            if "raw" in part:
                result.made[artifact["name"]] = base64.b64decode(part["raw"])
            elif "text" in part and artifact["metadata"]["codin"]["type"] == "text":
                result.answer = part["text"]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Prove the example goals.")
    parser.add_argument("cases", nargs="*", help="ids of cases; all of them if left out")
    parser.add_argument("--model")
    parser.add_argument("--seconds", type=float, default=240.0, help="for each goal")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "goals.json")
    options = parser.parse_args()
    cases = checker.load()
    chosen = options.cases or list(cases)
    if unknown := set(chosen) - set(cases):
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(cases)}")
    rows = []
    for name in chosen:
        result = run(cases[name], options.model, options.seconds)
        verdict = checker.check(cases[name], result.answer, result.made)
        right = verdict.right and result.exit_code == 0
        missing = ", ".join(verdict.missing) or ("" if right else f"exit {result.exit_code}")
        print(f"{'right' if right else 'WRONG'}  {name:18} {result.seconds:6.1f} s  {missing}")
        sys.stdout.flush()
        rows.append(
            {
                "case": name,
                "right": right,
                "seconds": round(result.seconds, 1),
                "exit_code": result.exit_code,
                "missing": verdict.missing,
                "answer": result.answer,
                "files": sorted(result.made),
                "said": result.said,
            }
        )
        options.out.write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")
    score = sum(bool(row["right"]) for row in rows)
    slowest = max(float(str(row["seconds"])) for row in rows)
    print(f"{score} of {len(rows)} right; the slowest took {slowest:.0f} s")
    return 0 if score >= SHARE * len(rows) else 1


def _text(raw: bytes | str | None) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw or ""


if __name__ == "__main__":
    raise SystemExit(main())
