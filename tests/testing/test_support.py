"""The table of what agents of each framework can do."""

from __future__ import annotations

from pathlib import Path

import pytest

from codin.testing._agent_base import BEHAVIOURS, bare_test
from codin.testing.agent_conformance import AgentConformance
from codin.testing.support import COLUMNS, IN_HOST, Finding, main, table


def cells(page: str, title: str) -> dict[str, str]:
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {title}")]
    return dict(zip(COLUMNS, [cell.strip() for cell in row.split("|")[2:-1]], strict=True))


def test_a_row_is_what_was_found_and_the_worst_of_it_counts() -> None:
    page = table(
        [
            Finding("Agno", "text", "yes"),
            Finding("Agno", "tools", "yes"),
            Finding("Agno", "tools", "failed"),
            Finding("Agno", "thoughts", "no", "test_x::test_bare_thoughts", "it has none"),
            Finding("Agno", "input", "owed"),
            Finding("Agno", IN_HOST, "yes"),
            Finding("Agno", "", "version", why="3.1.10"),
        ]
    )
    row = cells(page, "Agno 3.1.10")
    assert (row["text"], row["tools"], row["input"], row["usage"]) == (
        "✓",
        "**fails**",
        "not yet",
        "",
    )
    assert (row["thoughts"], row[IN_HOST]) == ("no [1]", "✓")
    assert "1. Agno, thoughts: it has none (`test_x::test_bare_thoughts`)" in page


def test_what_a_framework_lacks_has_to_be_shown() -> None:
    with pytest.raises(TypeError, match="test_bare_hand_offs"):
        type("Lacking", (AgentConformance,), {"cannot": {"hand-offs": "it has none"}})
    with pytest.raises(TypeError, match="no behaviour is called"):
        type("Typo", (AgentConformance,), {"owes": frozenset({"handoffs"})})
    shown = {"cannot": {"data": "no"}, bare_test("data"): lambda self: None}
    suite = type("Shown", (AgentConformance,), shown)
    assert suite.test_structured_output_is_data is None
    assert AgentConformance.test_structured_output_is_data is not None


@pytest.mark.slow
def test_it_is_made_by_running_the_tests(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
    )
    (tmp_path / "test_it.py").write_text(
        "from codin.testing.agent_conformance import AgentConformance\n"
        "class TestMine(AgentConformance):\n"
        "    async def make(self, base_url): raise NotImplementedError\n"
        "def test_hosted(record_property): record_property('support', 'Mine')\n"
    )
    page = tmp_path / "page.md"
    chosen = f"{tmp_path}/test_it.py"
    assert main([f"{chosen}::test_hosted", "--write", str(page)]) == 0
    assert cells(page.read_text(), "Mine")[IN_HOST] == "✓"


def test_every_behaviour_has_a_test() -> None:
    named = [getattr(getattr(AgentConformance, n), "behaviours", ()) for n in dir(AgentConformance)]
    assert {names[0] for names in named if names} == set(BEHAVIOURS)
