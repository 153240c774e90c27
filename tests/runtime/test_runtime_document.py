"""What docs/runtime.md shows runs as it stands there."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "runtime.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


async def _run(block, tmp_path):
    file = tmp_path / "example.py"
    file.write_text(block)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(file)),
        env={**os.environ, "PYTHONWARNINGS": "error"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    return process, *await process.communicate()


async def test_the_first_example(tmp_path):
    process, said, complained = await _run(BLOCKS[0], tmp_path)
    assert process.returncode == 0, complained.decode()
    primes = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]
    assert said.decode().splitlines() == [*map(str, primes), "('wall_seconds',) b'1,2\\n'"]


async def test_the_other_examples_can_be_written_so(tmp_path):
    assert len(BLOCKS) == 2
    process, _, complained = await _run(BLOCKS[1], tmp_path)
    assert process.returncode == 0, complained.decode()
