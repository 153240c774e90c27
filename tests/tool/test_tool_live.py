"""Live output is batched, bounded, and whole."""

import asyncio

from codin.sandbox.outcome import OutputChunk
from codin.security import LOCAL_USER, RunGrant
from codin.tool.events import ToolOutput
from codin.tool.execution.live import LiveOutput
from codin.tool.execution.result import cut

GRANT = RunGrant("t", "g", "c", "a", LOCAL_USER, frozenset(), 0.0)


def live(seen: list[ToolOutput], *, most: int = 10_000, every: float = 0.02) -> LiveOutput:
    async def sink(grant: RunGrant, event: ToolOutput) -> None:
        seen.append(event)

    return LiveOutput(sink, GRANT, "call", "tool", every=every, most=most)


async def test_many_chunks_become_few_events_in_order() -> None:
    seen: list[ToolOutput] = []
    async with live(seen) as output:
        for number in range(100):
            output.emit(OutputChunk("stdout", f"{number} ".encode()))
        output.emit(OutputChunk("stderr", b"oops"))
        output.emit(OutputChunk("stdout", b"end"))
    assert [(event.stream, event.text) for event in seen] == [
        ("stdout", "".join(f"{number} " for number in range(100))),
        ("stderr", "oops"),
        ("stdout", "end"),
    ]


async def test_a_character_may_be_split_between_chunks() -> None:
    seen: list[ToolOutput] = []
    async with live(seen) as output:
        for byte in "hé€\U0001f600".encode():
            output.emit(OutputChunk("stdout", bytes([byte])))
            await asyncio.sleep(0.005)
    assert "".join(event.text for event in seen) == "hé€\U0001f600"


async def test_what_is_too_much_is_dropped_and_said() -> None:
    seen: list[ToolOutput] = []
    async with live(seen, most=10) as output:
        for _ in range(1000):
            output.emit(OutputChunk("stdout", b"12345678"))
        assert len(output._waiting) <= 2
    assert [event.text for event in seen] == ["1234567812", "[more output is not shown]"]


async def test_it_comes_while_the_tool_runs() -> None:
    seen: list[ToolOutput] = []
    async with live(seen) as output:
        output.emit(OutputChunk("stdout", b"now"))
        async with asyncio.timeout(5):
            while not seen:
                await asyncio.sleep(0.01)
        assert seen[0].text == "now"


def test_a_text_is_cut_in_its_middle() -> None:
    text = "begin " + "x" * 2500 + " end"
    shown = cut(text, 500)
    assert len(shown) == 500
    assert shown.startswith("begin xxx")
    assert shown.endswith("xxx end")
    assert "[... 2,510 characters in all, the middle is left out ...]" in shown
    assert "the file results/a.txt has all of it" in cut(text, 500, "results/a.txt")
    assert cut("abc", 2) == "ab"
    assert cut("abc", 3) == "abc"
