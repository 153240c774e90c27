"""What the official SDKs' own documents show, unchanged, against `codin up --e2b`.

The examples are read out of the installed packages: their descriptions, and the docstrings of their
classes. Those that name E2B's own cloud are not for a server of one's own.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib.metadata import metadata

import e2b
import e2b_code_interpreter
import pytest
from test_e2b_examples import environment  # noqa: F401 - the server that both files ask

pytestmark = pytest.mark.slow

RUN = """
import ast, asyncio, inspect, sys
from {module} import *
code = compile(sys.stdin.read(), "example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
found = eval(code)
if inspect.iscoroutine(found):
    asyncio.run(found)
"""

NOT_BUILT = re.compile(r"pause|fork|snapshots|Template|Volume|Secret")
"""What examples are about that answer "not implemented"."""


def blocks(text: str) -> list[str]:
    return re.findall(r"```(?:python|py)\n(.*?)```", text, re.DOTALL)


def documented() -> dict[str, tuple[str, str]]:
    """The examples about sandboxes, by where they stand: the package to import, and the code."""
    found: dict[str, tuple[str, str]] = {}
    for module in (e2b, e2b_code_interpreter):
        name = module.__name__
        shown = metadata(name.replace("_", "-"))
        texts = {name: shown.get_payload() or shown["Description"]}
        for kind in ("Sandbox", "AsyncSandbox", "SandboxPaginator", "AsyncSandboxPaginator"):
            documented_class = getattr(module, kind)
            texts[f"{name}.{kind}"] = inspect.getdoc(documented_class) or ""
            for member in vars(documented_class):
                value = getattr(documented_class, member, None)
                texts[f"{name}.{kind}.{member}"] = inspect.getdoc(value) or ""
        for where, text in texts.items():
            for number, block in enumerate(blocks(text)):
                if "domain=" not in block and (name, block) not in found.values():
                    found[f"{where}-{number}"] = (name, block)
    return found


EXAMPLES = documented()


def run(module: str, code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:  # noqa: F811
    return subprocess.run(
        [sys.executable, "-c", RUN.format(module=module)],
        input=inspect.cleandoc(code),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("where", EXAMPLES)
def test_an_example_of_the_documents(environment: dict[str, str], where: str) -> None:  # noqa: F811
    module, code = EXAMPLES[where]
    done = run(module, code, environment)
    if NOT_BUILT.search(code):
        assert done.returncode != 0
        assert "not implemented" in done.stderr.lower()
        return
    assert done.returncode == 0, done.stderr
    expected = re.findall(r"print\(.*\)\s+# (?:outputs )?(.+)", code)
    assert done.stdout.splitlines()[: len(expected)] == expected


def test_the_documents_have_examples() -> None:
    assert len([code for _, code in EXAMPLES.values() if not NOT_BUILT.search(code)]) >= 8
