"""Loads the agents of a host. What cannot be loaded is a problem to report, not an end."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from codin.agent.base import Agent
from codin.agent.host.wire import HostProblem
from codin.agent.wrapping import framework_of, is_agent, wrap


def load(sources: Sequence[str]) -> tuple[list[Agent], list[HostProblem]]:
    agents: list[Agent] = []
    problems: list[HostProblem] = []
    for source in sources:
        try:
            agents += _of(source)
        except BaseException as error:
            problems.append(
                HostProblem(source=source, error_type=type(error).__name__, message=str(error))
            )
    return agents, problems


def _of(source: str) -> list[Agent]:
    name, _, attr = source.partition(":")
    if name.endswith(".py"):
        path = Path(name)
        sys.path.insert(0, str(path.parent))
        spec = importlib.util.spec_from_file_location(f"codin_agents_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(name)
    found = [getattr(module, attr)] if attr else list(vars(module).values())
    return [wrap(o) for o in found if attr or is_agent(o) or framework_of(o)]
