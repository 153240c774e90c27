"""Settings of tools that are commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, field_validator
from pydantic.alias_generators import to_camel

from codin.config.section import Section
from codin.security.secrets import SecretRef
from codin.security.targets import AllowList

CommandName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
"""What a command's tool is called."""

ArgumentName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]

VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""What a variable of the environment is called."""


class ValueSettings(Section):
    """What a value may be, in the words of JSON Schema (``minLength``, ``enum``, ...)."""

    model_config = ConfigDict(alias_generator=to_camel)

    type: Literal["string", "integer", "number", "boolean", "array"]
    description: str | None = None
    enum: tuple[str | int | float, ...] | None = Field(default=None, min_length=1)
    pattern: str | None = None
    min_length: int | None = Field(default=None, ge=0)
    max_length: int | None = Field(default=None, ge=0)
    minimum: int | float | None = None
    maximum: int | float | None = None
    examples: tuple[Any, ...] | None = Field(default=None, min_length=1)

    @property
    def json_schema(self) -> dict[str, Any]:
        """These settings as JSON Schema."""
        others = set(type(self).model_fields) & {"optional", "dashes", "flag"}
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=others)


class ArgumentSettings(ValueSettings):
    """An argument of a command. One that is ``optional`` may be left out, and one that has a
    ``default`` too. With ``dashes`` it may begin with a dash where it begins a word of the command;
    programs read such as options. ``flag`` is what stands for a boolean that is true.
    """

    items: ValueSettings | None = None
    min_items: int | None = Field(default=None, ge=0)
    max_items: int | None = Field(default=None, ge=0)
    default: Any = None
    optional: bool = False
    dashes: bool = False
    flag: str | None = Field(default=None, min_length=1)


class CommandSettings(Section):
    """A command. ``argv`` is its program and its words, with ``{name}`` where arguments go; words
    in a list of their own go together. ``stdin`` is the argument that it reads. What it prints is
    the result: text, or data with ``output = "json"``. ``exit_codes`` are those of success,
    ``seconds`` what a call may take, ``result_chars`` how long its result may be. ``effects`` says
    what repeating a call does: nothing to the world, the same again, or something twice;
    ``if_interrupted`` whether one that was under way when its process ended is repeated, asked for,
    or fails.

    ``env`` are variables that it sees (a text, or where a secret is), ``requirements`` the Python
    packages that it has, and ``network`` the ``host:port`` that it reaches. With any of these each
    call has a sandbox of its own in the goal's workspace.
    """

    description: str = Field(min_length=1)
    argv: tuple[str | tuple[str, ...], ...] = Field(min_length=1)
    arguments: Mapping[ArgumentName, ArgumentSettings] = {}
    stdin: str | None = None
    output: Literal["text", "json"] = "text"
    exit_codes: tuple[int, ...] = (0,)
    seconds: float = Field(default=60.0, gt=0)
    result_chars: int = Field(default=8_000, ge=100)
    effects: Literal["none", "repeatable", "once"] = "once"
    if_interrupted: Literal["repeat", "ask", "fail"] | None = None
    permissions: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    version: str = "1"
    deprecated: str | None = None
    env: Mapping[VariableName, str | SecretRef] = {}
    requirements: tuple[str, ...] = ()
    network: tuple[str, ...] = ()

    @field_validator("network")
    @classmethod
    def _a_network(cls, network: tuple[str, ...]) -> tuple[str, ...]:
        return AllowList(network).entries
