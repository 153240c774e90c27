"""What agents are told of the data before they begin."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codin.runtime import LocalRuntime
from codin.tool.guide import DataGuide
from codin.tool.workspace import Workspaces


@pytest.fixture
async def runtime() -> AsyncIterator[LocalRuntime]:
    runtime = LocalRuntime()
    yield runtime
    await runtime.close()


def data(folder: Path) -> Path:
    place = folder / "data"
    place.mkdir()
    (place / "sales.csv").write_text("day,region,amount\n2025-01-01,North,7\n2025-01-02,South,8\n")
    return place


async def test_columns_and_values_of_each_file(tmp_path: Path, runtime: LocalRuntime) -> None:
    guide = DataGuide(runtime, Workspaces(tmp_path / "work", data=[data(tmp_path)]))
    told = await guide.describe(["data/sales.csv"])
    assert told.startswith("data/sales.csv: ")
    assert "- region: text: North, South" in told
    assert "- amount: int 7 to 8" in told


async def test_a_file_is_looked_at_again_when_it_has_changed(
    tmp_path: Path, runtime: LocalRuntime
) -> None:
    place = data(tmp_path)
    guide = DataGuide(runtime, Workspaces(tmp_path / "work", data=[place]))
    await guide.describe(["data/sales.csv"])
    (place / "sales.csv").write_text("day,region,amount\n2025-01-01,West,700\n")
    assert "West" in await guide.describe(["data/sales.csv"])


async def test_what_cannot_be_looked_into_is_left_out(
    tmp_path: Path, runtime: LocalRuntime
) -> None:
    guide = DataGuide(runtime, Workspaces(tmp_path / "work", data=[data(tmp_path)]))
    assert await guide.describe(["data/none.csv", "elsewhere.csv"]) == ""
    assert "sales.csv" in await guide.describe(["data/none.csv", "data/sales.csv"])
