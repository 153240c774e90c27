"""What the documents show can be done."""

import re
from pathlib import Path

import pytest

from codin.agent.base import AgentInfo
from codin.agent.planning.document import read_plan
from codin.config import load_settings

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SETTINGS = [
    (page.name, block)
    for page in PAGES
    for block in re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
]


@pytest.mark.parametrize(("page", "block"), SETTINGS)
def test_settings_in_the_documents_can_be_used(tmp_path: Path, page: str, block: str) -> None:
    file = tmp_path / "codin.toml"
    file.write_text(block, encoding="utf-8")
    assert load_settings(file).model_dump(exclude_unset=True)


@pytest.mark.parametrize(
    "block",
    re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "plans.md").read_text("utf-8"), re.DOTALL),
)
def test_plans_in_the_documents_can_be_run(tmp_path: Path, block: str) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(block, encoding="utf-8")
    plan = read_plan(file)
    named = {step.agent for step in plan.steps} | {
        step.check.judge.agent for step in plan.steps if step.check and step.check.judge
    }
    plan.check([AgentInfo(name, name, name, tools=("list_files",)) for name in named])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_the_documents_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
