"""A host ends with whoever began it, also where no sandbox sees to that."""

import asyncio
import sys
from pathlib import Path

AGENT = """
from codin import wrap

try:
    said = input()
except EOFError:
    said = "nothing"

async def echo(text: str) -> str:
    return text

agent = wrap(echo, id="echo", description=said)
print("loaded with", said, flush=True)
"""


async def test_a_host_ends_when_its_stdin_does(tmp_path: Path) -> None:
    file = tmp_path / "agent.py"
    file.write_text(AGENT)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "codin.agent.host", "--end-with-stdin"),
        *("--run-dir", str(tmp_path), str(file)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            assert await process.stdout.readline() == b"loaded with nothing\n"
            while not (tmp_path / "service.sock").exists():
                await asyncio.sleep(0.02)
            assert process.returncode is None
            process.stdin.close()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
