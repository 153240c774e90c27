"""Tools that tell while they work: generators, and progress."""

from __future__ import annotations

import asyncio

import pytest
from streaming_tools import breaks, numbers, steps, words
from tool_house import House

from codin.tool import FunctionTool, RunnableTool, tool

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

FUNCTIONS = (words, numbers, steps, breaks)
SHIPPED = [tool(one) for one in FUNCTIONS]
OWN = [
    FunctionTool.from_function(one, name=f"own_{one.__name__}", trusted=True) for one in FUNCTIONS
]


@pytest.fixture
def tools() -> list[RunnableTool]:
    return [*OWN, *SHIPPED]


def told(house: House) -> str:
    return "".join(output.text for output in house.live)


@pytest.mark.parametrize("kind", ["", "own_"])
async def test_texts_are_one_text(house: House, kind: str) -> None:
    calling = asyncio.ensure_future(house.call(f"{kind}words", count=4))
    async with asyncio.timeout(20):
        while "word0" not in told(house):
            await asyncio.sleep(0.01)
    assert not calling.done()
    assert (await calling).value == "word0 word1 word2 word3 "
    assert told(house) == "word0 word1 word2 word3 "


@pytest.mark.parametrize("kind", ["", "own_"])
async def test_data_is_a_list(house: House, kind: str) -> None:
    outcome = await house.call(f"{kind}numbers", count=2)
    assert outcome.value == [{"number": 0}, {"number": 1}]
    assert told(house) == '{"number": 0}\n{"number": 1}\n'
    assert (await house.call(f"{kind}numbers", count=0)).value == []


@pytest.mark.parametrize("kind", ["", "own_"])
async def test_progress(house: House, kind: str) -> None:
    assert (await house.call(f"{kind}steps")).value == "done"
    assert told(house) == "half way\n"


@pytest.mark.parametrize("kind", ["", "own_"])
async def test_one_that_breaks(house: House, kind: str) -> None:
    outcome = await house.call(f"{kind}breaks")
    assert "ValueError: in the middle" in outcome.text
    assert told(house) == "before "


async def test_what_they_give_is_in_their_schemas() -> None:
    found = {one.name: one.spec.output_schema for one in SHIPPED}
    assert found["words"] == {"type": "string"}
    assert found["numbers"] is not None
    assert found["numbers"]["type"] == "array"
