"""The three contracts are kept to the letter: strict typing accepts what they say, and no less."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HEAD = """
from collections.abc import AsyncGenerator
from typing import Any

from codin import Agent, AgentResponse, Runtime, RuntimeResult, Task, Tool, ToolSpec, Workload, wrap
from codin.agent.events import AgentEvent, TextFinal
from codin.runtime.base import Deployment, Service
"""

GOOD = """
class MyTool:
    name: str = "look"
    spec: ToolSpec = ToolSpec(name="look")

    async def invoke(self, *args: Any, **kwargs: Any) -> Any:
        return [args, kwargs]


class MyAgent:
    id: str = "mine"
    name: str = "Mine"
    description: str = "Does it."
    tools: list[Tool] = [MyTool()]

    async def handle(self, task: Task) -> AgentResponse:
        return AgentResponse(self._events(task))

    async def _events(self, task: Task) -> AsyncGenerator[AgentEvent, None]:
        yield TextFinal(message_id="1", text=task.text)


class MyRuntime(Runtime):
    name = "mine"
    supports = frozenset()

    async def run(self, workload: Workload, /, *, stream: bool = False) -> RuntimeResult:
        raise NotImplementedError

    async def deploy(self, service: Service) -> Deployment:
        raise NotImplementedError

    async def close(self) -> None: ...


agent: Agent = MyAgent()
tool: Tool = MyTool()
runtime: Runtime = MyRuntime()
wrapped: Agent = wrap(agent)


async def use(task: Task, workload: Workload) -> str:
    outcome = await (await agent.handle(task))
    async for event in await agent.handle(task):
        event.kind
    result: RuntimeResult = await runtime.run(workload, stream=True)
    await tool.invoke(1, two=2)
    return outcome.text + str(result.ok)
"""

BAD = {
    "an agent that answers with text": (
        "class A:\n"
        "    id = name = description = ''\n"
        "    tools: list[Tool] = []\n"
        "    async def handle(self, task: Task) -> str: return ''\n"
        "a: Agent = A()\n"
    ),
    "an agent without tools": (
        "class A:\n"
        "    id = name = description = ''\n"
        "    async def handle(self, task: Task) -> AgentResponse: raise NotImplementedError\n"
        "a: Agent = A()\n"
    ),
    "a tool that blocks": (
        "class T:\n"
        "    name = ''\n"
        "    spec = ToolSpec(name='')\n"
        "    def invoke(self, *args: Any, **kwargs: Any) -> str: return ''\n"
        "t: Tool = T()\n"
    ),
    "a runtime that takes the workload by name only": (
        "class R(Runtime):\n"
        "    async def run(self, *, workload: Workload, stream: bool = False) -> RuntimeResult:\n"
        "        raise NotImplementedError\n"
    ),
    "a runtime that cannot stream": (
        "class R(Runtime):\n"
        "    async def run(self, workload: Workload, /) -> RuntimeResult:\n"
        "        raise NotImplementedError\n"
    ),
}


def mypy(*files: Path) -> str:
    """What mypy says of the files, checked as strictly as the library itself."""
    cache = ROOT / ".mypy_cache" / "signatures"
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "pyproject.toml"]
    checked = subprocess.run(
        [*command, "--cache-dir", str(cache), *map(str, files)],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert checked.returncode in (0, 1), checked.stderr
    return checked.stdout


@pytest.mark.slow
def test_what_keeps_the_contracts_is_accepted_and_what_breaks_one_is_not(tmp_path: Path) -> None:
    good = tmp_path / "good.py"
    good.write_text(HEAD + GOOD)
    bad = {what: tmp_path / f"bad{number}.py" for number, what in enumerate(BAD)}
    for what, file in bad.items():
        file.write_text(HEAD + BAD[what])
    said = mypy(good, *bad.values()).splitlines()
    assert [line for line in said if "good.py" in line] == []
    for what, file in bad.items():
        errors = [line for line in said if file.name in line and ": error: " in line]
        assert len(errors) == 1, f"{what}: {errors}"
        assert errors[0].endswith(("[assignment]", "[override]")), errors


def test_the_contracts_stand_at_run_time_as_they_were_designed() -> None:
    import inspect

    from codin import Agent, Runtime, Tool

    assert str(inspect.signature(Agent.handle)) == "(self, task: 'Task') -> 'AgentResponse'"
    assert str(inspect.signature(Tool.invoke)) == "(self, *args: 'Any', **kwargs: 'Any') -> 'Any'"
    assert str(inspect.signature(Runtime.run)) == (
        "(self, workload: 'Workload', /, *, stream: 'bool' = False) -> 'RuntimeResult'"
    )
    assert set(Agent.__annotations__) == {"id", "name", "description", "tools"}
    assert set(Tool.__annotations__) == {"name", "spec"}
    assert inspect.isabstract(Runtime)
