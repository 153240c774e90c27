"""The platform's settings: `codin.toml`, the environment, and flags, in one typed model."""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from codin.errors import InvalidInputError

DEFAULT_FILE = "codin.toml"


class ConfigError(InvalidInputError):
    """The settings cannot be used; the message names the file, the key and what would do."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AgentEntry(_Section):
    """One agent: where it comes from, and what is said of it instead of what it says itself.

    ``source`` is a file, a folder, ``module:attr`` or the URL of a remote A2A agent.
    """

    source: str
    id: str | None = None
    name: str | None = None
    description: str | None = None
    tools: tuple[str, ...] | None = None
    isolation: Literal["host", "process"] = "host"


class ServerSettings(_Section):
    host: str = "127.0.0.1"
    port: int = Field(default=8420, ge=0, le=65_535)


class GoalSettings(_Section):
    """What a goal may use: seconds in all, and steps at a time."""

    seconds: float = Field(default=900.0, gt=0)
    parallel: int = Field(default=4, ge=1)
    default: str | None = None


def default_home() -> Path:
    """Where log, workspaces and sockets are: ``CODIN_HOME``, or the user's data folder."""
    if home := os.environ.get("CODIN_HOME"):
        return Path(home).expanduser().absolute()
    return Path(platformdirs.user_data_dir("codin", appauthor=False))


class Settings(_Section):
    """All settings. Paths are absolute once loaded; ``data`` is shown read-only to every task."""

    model: str | None = None
    home: Path = Field(default_factory=default_home)
    data: tuple[Path, ...] = ()
    tools: tuple[Path, ...] = ()
    agents: tuple[AgentEntry, ...] = ()
    server: ServerSettings = ServerSettings()
    goal: GoalSettings = GoalSettings()


def load_settings(path: Path | None = None, **overrides: Any) -> Settings:
    """The settings of ``path``, or of ``codin.toml`` in the current folder where that exists.

    ``overrides`` are values from flags; ``None`` among them means: not given.

    Raises:
        ConfigError: the file is missing, is no TOML, or has keys or values that cannot be used.
    """
    file = path if path is not None else Path(DEFAULT_FILE)
    values: dict[str, Any] = {}
    if path is not None or file.is_file():
        values = _read(file)
        base = file.absolute().parent
        values = _anchored(values, base)
    if model := os.environ.get("CODIN_MODEL"):
        values["model"] = model
    values |= {key: value for key, value in overrides.items() if value is not None}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{file}: " + "; ".join(_explain(error))) from None


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: is not TOML: {error}") from None


def _anchored(values: dict[str, Any], base: Path) -> dict[str, Any]:
    """Relative paths in the file are relative to the file."""

    def anchor(text: object) -> object:
        return str((base / text).resolve()) if isinstance(text, str) else text

    anchored = dict(values)
    for key in ("data", "tools"):
        if isinstance(anchored.get(key), list):
            anchored[key] = [anchor(item) for item in anchored[key]]
    if isinstance(anchored.get("home"), str):
        anchored["home"] = anchor(anchored["home"])
    if isinstance(anchored.get("agents"), list):
        anchored["agents"] = [_anchored_agent(entry, base) for entry in anchored["agents"]]
    return anchored


def _anchored_agent(entry: object, base: Path) -> object:
    if not isinstance(entry, dict) or not isinstance(entry.get("source"), str):
        return entry
    file, colon, attribute = entry["source"].partition(":")
    if (base / file).exists():
        return entry | {"source": str((base / file).resolve()) + colon + attribute}
    return entry


def _explain(error: ValidationError) -> list[str]:
    known = {name for model in _sections() for name in model.model_fields}
    sentences = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            close = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            sentences.append(f"unknown key {where!r}{hint}")
        else:
            sentences.append(f"{where}: {problem['msg']}")
    return sentences


def _sections() -> tuple[type[BaseModel], ...]:
    return (Settings, AgentEntry, ServerSettings, GoalSettings)
