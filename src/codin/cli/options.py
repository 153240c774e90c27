"""The options that say what a platform is made of, the same for every command that opens one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from codin.config import AgentEntry, Settings, load_settings
from codin.errors import InvalidInputError

F = TypeVar("F", bound=Callable[..., Any])

config_option = click.option(
    "--config", type=click.Path(path_type=Path), help="The settings' file (default: codin.toml)."
)


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the flags say besides the settings' file."""

    config: Path | None
    model: str | None
    data: tuple[Path, ...]
    agents: tuple[str, ...]
    planner: str | None = None

    @property
    def arguments(self) -> list[str]:
        """The flags, as they were given."""
        given: list[tuple[str, Sequence[object]]] = [
            ("--config", [self.config] if self.config else []),
            ("--model", [self.model] if self.model else []),
            ("--data", self.data),
            ("--agent", self.agents),
            ("--planner", [self.planner] if self.planner else []),
        ]
        return [str(word) for flag, values in given for value in values for word in (flag, value)]

    def settings(self) -> Settings:
        """The settings with these flags in them; agents are added, data is replaced.

        Raises:
            ConfigError: something in them cannot be used.
        """
        settings = load_settings(self.config, model=self.model)
        if self.planner is not None:
            settings = settings.with_goal(planner=self.planner, plan=None)
        added = tuple(AgentEntry(source=source) for source in self.agents)
        changes: dict[str, Any] = {"agents": settings.agents + added}
        if self.data:
            changes["data"] = tuple(path.absolute() for path in self.data)
        return settings.model_copy(update=changes)


def platform_options(command: F) -> F:
    """Add ``--config``, ``--model``, ``--data``, ``--agent`` and ``--planner``, given as one
    ``Overrides``."""

    def combined(
        *args: Any,
        config: Path | None,
        model: str | None,
        data: tuple[Path, ...],
        agent: tuple[str, ...],
        planner: str | None,
        **kwargs: Any,
    ) -> Any:
        overrides = Overrides(config, model, data, agent, planner)
        return command(*args, overrides=overrides, **kwargs)

    combined.__doc__ = command.__doc__
    combined.__name__ = command.__name__
    # What decorators below have declared stays declared.
    combined.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    decorated: Any = combined
    for option in (
        click.option(
            "--planner",
            metavar="WHO",
            help="Who plans goals: model, router (one agent does all of it), or agent:ID.",
        ),
        click.option(
            "--agent",
            multiple=True,
            metavar="SOURCE",
            help="An agent's file, folder, module:attr or URL. Repeatable.",
        ),
        click.option(
            "--data",
            multiple=True,
            type=click.Path(path_type=Path),
            help="A folder or file shown read-only at data/. Repeatable.",
        ),
        click.option(
            "--model", metavar="PROVIDER:NAME", help="The language model (or CODIN_MODEL)."
        ),
        config_option,
    ):
        decorated = option(decorated)
    result: F = decorated
    return result


def goal_of(given: str | None, settings: Settings) -> str:
    """The goal that is ``given``, on stdin for ``-``, or that of the settings.

    Raises:
        InvalidInputError: there is none.
    """
    text = sys.stdin.read() if given == "-" else given
    text = settings.goal.default if text is None else text
    if text is None or not text.strip():
        raise InvalidInputError(
            "the goal is empty: say in words what is to be done, as in codin run 'How many rows"
            " has data/sales.csv?'"
        )
    return text
