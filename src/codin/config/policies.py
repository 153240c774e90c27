"""Settings of policies: what arguments calls of tools may have, as data."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from codin.config.section import Section
from codin.errors import InvalidInputError
from codin.security.targets import parse_target, target_of

Plain = str | int | float | bool | None
"""A value that is compared as JSON compares: 1 is 1.0, and no ``true``."""


class PolicySettings(Section):
    """What arguments calls of tools may have.

    ``tool`` is a pattern of names, ``roles`` those for whom it is (everybody, without any).
    ``argument`` is a name, or a path such as ``order.items.*.price``; of a list each item is meant.
    The conditions say what its value is: ``in`` or ``not_in`` some values, a text that as a whole
    matches ``pattern``, a number of at least ``min`` and at most ``max``, a URL at one of ``hosts``
    (``api.example.org``, ``*.example.org``, either with a port), a path ``below`` a folder of the
    workspace. A value has to meet all conditions of a policy.

    With ``allow`` policies for an argument it may only have values that one of them allows, for a
    role of the caller's, and has to be given. What meets a ``deny`` policy is refused, and what
    meets an ``ask`` policy has to be approved by somebody: also where that cannot be told, such as
    of a URL that is none. ``reason`` is told with the refusal. Without an argument each call of the
    tool is denied, or has to be approved.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    tool: str = Field(min_length=1)
    effect: Literal["allow", "deny", "ask"]
    roles: tuple[str, ...] = ()
    argument: str | None = Field(default=None, min_length=1)
    one_of: tuple[Plain, ...] | None = Field(default=None, alias="in", strict=True)
    not_in: tuple[Plain, ...] | None = Field(default=None, strict=True)
    pattern: str | None = None
    min: float | None = None
    max: float | None = None
    hosts: tuple[str, ...] | None = None
    below: tuple[str, ...] | None = None
    reason: str = ""

    @field_validator("below", "hosts", mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("one_of", "not_in", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("hosts")
    @classmethod
    def _hosts(cls, entries: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if entries is None else tuple(map(_host, entries))

    @field_validator("below")
    @classmethod
    def _folders(cls, entries: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for entry in entries or ():
            if ".." in entry.split("/") or not entry:
                raise ValueError(f"{entry!r} is no folder of the workspace: give it without '..'")
        return entries

    @field_validator("pattern")
    @classmethod
    def _linear(cls, pattern: str | None) -> str | None:
        from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

        try:
            Draft202012Validator({"pattern": pattern or ""}, pattern_options=RegexOptions())
        except ValidationError:
            raise ValueError(
                f"{pattern!r} is no regular expression (without look-around and back references)"
            ) from None
        return pattern

    @model_validator(mode="after")
    def _whole(self) -> PolicySettings:
        if self.argument is None and self.conditions:
            raise ValueError("give the argument that the conditions are about")
        if self.effect == "allow" and not self.conditions:
            raise ValueError("say what is allowed: in, not_in, pattern, min, max, hosts or below")
        return self

    @property
    def conditions(self) -> tuple[str, ...]:
        """The names of the conditions that are given."""
        names = ("one_of", "not_in", "pattern", "min", "max", "hosts", "below")
        return tuple(name for name in names if getattr(self, name) is not None)


def _host(entry: str) -> str:
    """An entry of a list of hosts in the form in which it is compared."""
    name = entry.removeprefix("*.")
    wild = "*." if name != entry else ""
    try:
        has_port = name.startswith("[") != name.endswith("]") or name.count(":") == 1
        target = parse_target(name) if has_port else target_of(name.strip("[]"), 443)
    except InvalidInputError as error:
        raise ValueError(
            f"{entry!r} is no host, such as api.example.org, *.example.org, or one of these with a "
            f"port: {error}"
        ) from None
    if wild and (target.address is not None or "." not in target.host):
        raise ValueError(f"{entry!r}: '*.' stands before at least two labels")
    return wild + (str(target) if has_port else target.host)
