"""`codin eval`: how good the planner is, in numbers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from codin.cli.exits import ExitCode
from codin.cli.output import json_option, print_json
from codin.cli.text import short
from codin.errors import InvalidInputError

if TYPE_CHECKING:
    from codin.evaluation import PlanReport, PlanRow

EXAM = Path("examples/eval/plans.yaml")


@click.group("eval")
def evaluate() -> None:
    """Score the parts that can be right or wrong."""


@evaluate.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--model", metavar="PROVIDER:NAME", help="The language model (or CODIN_MODEL).")
@click.option("--at-least", type=int, help="Fail with a lower score than this.")
@json_option
def plans(file: Path | None, model: str | None, at_least: int | None, as_json: bool) -> int:
    """Have the planner plan the goals of an exam: right ones, beside what one agent would reach.

    FILE is an exam; examples/eval/plans.yaml when it is left out.
    """
    exam = file or EXAM
    if not exam.is_file():
        raise InvalidInputError(f"there is no exam {exam}: name one, or go to codin's checkout")
    report = asyncio.run(_sit(exam, model, as_json=as_json))
    if as_json:
        print_json(report.to_json())
    else:
        click.echo(
            f"{report.score} of {report.cases} right in {report.seconds:.0f} s; best single agent "
            f"{report.best_single_agent}, random agent {report.random_agent}"
        )
    return ExitCode.OK if report.score >= (at_least or 0) else ExitCode.FAILED


async def _sit(exam: Path, model: str | None, *, as_json: bool) -> PlanReport:
    from codin.agent.planning.llm import LLMPlanner
    from codin.evaluation import run_plan_exam
    from codin.model import ModelService, discover

    def shown(row: PlanRow) -> None:
        if not as_json:
            mark = "right" if row.right else "WRONG"
            steps = " > ".join(row.agents)
            click.echo(f"{mark}  {row.id:5} {row.seconds:5.1f} s  {steps:28} {short(row.goal, 70)}")

    async with ModelService(await discover(model)) as service:
        click.echo(f"model: {service.choice.label} ({service.choice})", err=True)
        return await run_plan_exam(exam, LLMPlanner(service.client), on_case=shown)
