"""Finds agents in files, folders and modules."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from codin.agent.adapters.base import Adapter
from codin.agent.base import Agent, AgentError
from codin.agent.frameworks import framework_of, how_to_get
from codin.agent.wrapping import SAYS_NOTHING, SUPPORTED, is_agent, parts_of, slug, wrap

_ENTRY = ("root_agent", "agent")
"""Names under which an async function is taken for an agent."""


class AgentLoadError(AgentError):
    """What a source names cannot be had as agents. ``error_type`` names the kind of the reason."""

    def __init__(self, source: str, message: str, error_type: str = "AgentLoadError") -> None:
        super().__init__(f"{source}: {message}")
        self.source = source
        self.message = message
        self.error_type = error_type


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found, and what could not be loaded."""

    agents: tuple[Agent, ...]
    problems: tuple[AgentLoadError, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    where: str
    attribute: str
    stem: str
    object: Any


def discover(sources: Iterable[str | Path]) -> Discovery:
    """The agents of ``sources``: ``file.py``, ``file.py:attr``, a folder, ``module[:attr]``.

    The files are run. In a file, agents are its public objects that are agents by type, and an
    async function named ``agent`` or ``root_agent``; an ADK sub-agent belongs to its parent. In a
    folder, the files beside each other are looked at, and ``agent.py`` of each folder in it; those
    without agents are passed over. What cannot be loaded is a problem; the others go on. The first
    of two agents with one id is kept, and the second is a problem that names both.
    """
    agents: dict[str, tuple[Agent, str]] = {}
    problems: list[AgentLoadError] = []
    for source in sources:
        for part, may_be_empty in _expanded(str(source)):
            try:
                loaded = _load(part, may_be_empty=may_be_empty)
            except AgentLoadError as error:
                problems.append(error)
                continue
            for found in loaded:
                try:
                    _take(found, agents)
                except AgentError as error:
                    problems.append(_problem(found.where, error))
    return Discovery(tuple(agent for agent, _ in agents.values()), tuple(problems))


def _take(found: _Found, agents: dict[str, tuple[Agent, str]]) -> None:
    agent = _named(found)
    if agent.id in agents:
        _, first = agents[agent.id]
        raise AgentError(
            f"the agent id {agent.id!r} is taken: {first} has it, and {found.where} wants it; "
            "give one of them another id with wrap(..., id=...)"
        )
    agents[agent.id] = (agent, found.where)


def _problem(source: str, error: Exception) -> AgentLoadError:
    if isinstance(error, AgentLoadError):
        return error
    return AgentLoadError(source, str(error), type(error).__name__)


def _expanded(source: str) -> Iterator[tuple[str, bool]]:
    """The files of a folder, or the source itself; and whether it may be without agents."""
    path = Path(source)
    if not path.is_dir():
        yield source, False
        return
    for file in sorted(path.glob("*.py")):
        if not file.name.startswith(("_", "test_", "conftest")):
            yield str(file), True
    for file in sorted(path.glob("*/agent.py")):
        if not file.parent.name.startswith((".", "_")):
            yield str(file), True


def _load(source: str, *, may_be_empty: bool) -> list[_Found]:
    name, _, attribute = source.partition(":")
    path = Path(name)
    is_file = path.suffix == ".py" or "/" in name
    if is_file and not path.is_file():
        raise AgentLoadError(source, "there is no such file", "FileNotFoundError")
    module = _imported(source, path if is_file else None, name)
    stem = path.parent.name if path.name == "agent.py" else path.stem if is_file else name
    stem = stem.rpartition(".")[2]
    if attribute:
        return [_Found(source, attribute, stem, _attribute(source, module, attribute))]
    found = [_Found(f"{source}:{n}", n, stem, o) for n, o in _agents_in(module)]
    if not found and not may_be_empty:
        raise AgentLoadError(source, f"there is no agent in it; an agent is {SUPPORTED}")
    return found


def _imported(source: str, path: Path | None, name: str) -> ModuleType:
    try:
        return importlib.import_module(name) if path is None else _run(path.resolve())
    except (Exception, SystemExit) as error:
        raise AgentLoadError(source, _why(error, path), type(error).__name__) from error


def _run(path: Path) -> ModuleType:
    """Run the file as a module of its own name; a file of a package as that package's."""
    folder = path.parent
    package = ""
    if (folder / "__init__.py").is_file():
        folder, package = folder.parent, f"{folder.name}."
    if str(folder) not in sys.path:
        # At the end: a file beside an agent never hides an installed package.
        sys.path.append(str(folder))
    if package:
        _check_package(path.parent)
        return importlib.import_module(package + path.stem)
    mark = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    name = f"{path.stem}_{mark}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _check_package(folder: Path) -> None:
    """
    Raises:
        ImportError: another package has the name of ``folder``, and is the one that is imported.
    """
    found = importlib.util.find_spec(folder.name)
    places = [Path(place).resolve() for place in (found and found.submodule_search_locations) or ()]
    if places and folder not in places:
        raise ImportError(
            f"the folder {folder} is a package, and so is {places[0]}, which has the name already: "
            "rename the folder, or remove its __init__.py"
        )


def _why(error: BaseException, path: Path | None) -> str:
    """The reason with the line, in one sentence."""
    if isinstance(error, ModuleNotFoundError) and error.name and (how := how_to_get(error.name)):
        return how
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return f"cannot be imported: {type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    mine = [f for f in frames if path is not None and Path(f.filename) == path.resolve()]
    line = f" (line {mine[-1].lineno}: {(mine[-1].line or '')[:120]})" if mine else ""
    return f"cannot be imported: {said}{line}"


def _attribute(source: str, module: ModuleType, attribute: str) -> Any:
    try:
        return getattr(module, attribute)
    except AttributeError:
        there = ", ".join(name for name, _ in _agents_in(module)) or "no agents"
        raise AgentLoadError(
            source, f"it has no {attribute!r}; there are: {there}", "AttributeError"
        ) from None


def _agents_in(module: ModuleType) -> Sequence[tuple[str, Any]]:
    seen: dict[int, tuple[str, Any]] = {}
    for name, value in vars(module).items():
        if not name.startswith("_") and id(value) not in seen and _counts(module, name, value):
            seen[id(value)] = (name, value)
    inner = {id(part) for _, value in seen.values() for part in parts_of(value)}
    return [named for key, named in seen.items() if key not in inner]


def _counts(module: ModuleType, name: str, value: Any) -> bool:
    if inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value):
        return name in _ENTRY and value.__module__ == module.__name__
    if getattr(value, "parent_agent", None) is not None:
        return False
    return is_agent(value) or framework_of(value) is not None


def _named(found: _Found) -> Agent:
    """The object as an agent, under a name that tells something."""
    agent = wrap(found.object)
    if isinstance(agent, Adapter) and agent.anonymous:
        name = found.stem if slug(found.attribute) in SAYS_NOTHING else found.attribute
        agent.rename(slug(name) or agent.id, name)
    return agent
