"""What docs/sandbox.md shows is run as it stands there."""

import ast
import asyncio
import inspect
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "sandbox.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
IMPORTS = "\n".join(re.findall(r"^from codin.*$", "\n".join(BLOCKS), re.MULTILINE))


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.strip().splitlines()[0][:40])
async def test_examples(block, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    space = {}
    for text in (IMPORTS, block):
        code = compile(text, str(PAGE), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        ended = eval(code, space)
        if inspect.iscoroutine(ended):
            async with asyncio.timeout(120):
                await ended
