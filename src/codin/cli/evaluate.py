"""`codin eval`: how good the planner is, in numbers."""

from __future__ import annotations

from pathlib import Path

import click

EXAM = Path("examples/eval/plans.yaml")


@click.group("eval")
def evaluate() -> None:
    """Score the parts that can be right or wrong."""
