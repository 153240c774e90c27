"""The operator's policies: which values the arguments of a call may have, checked at each call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from codin.config import PolicySettings
from codin.security import Principal
from codin.tool._sentence import shown
from codin.tool.base import ApprovalNeeded, ToolRefused, ToolSpec
from codin.tool.policies._conditions import Condition, condition_of, words_of

_PATTERN = frozenset("*?[")


class Policies:
    """The policies in force. They are data (``PolicySettings`` says what they mean); none of them
    runs anything, and where it cannot be told whether one is met, the call is not made.
    """

    def __init__(self, policies: Iterable[PolicySettings] = ()) -> None:
        self._all = tuple(map(_Policy, policies))
        self._by_tool: dict[str, tuple[_Policy, ...]] = {}

    def check(
        self,
        spec: ToolSpec,
        principal: Principal,
        arguments: Mapping[str, Any],
        *,
        approved: bool = False,
    ) -> None:
        """Return when ``principal`` may call the tool with ``arguments``. Policies that ask have
        their answer once the call is ``approved``; what is denied is denied all the same.

        Raises:
            ToolRefused: it may not; the message names the argument, and what is allowed.
            ApprovalNeeded: it may when somebody approves it.
        """
        policies = self._of(spec.name)
        if not policies:
            return
        for policy in policies:
            if policy.effect == "deny" and policy.is_for(principal):
                policy.refuse(spec, arguments)
        for argument in dict.fromkeys(p.argument for p in policies if p.effect == "allow"):
            about = [p for p in policies if p.effect == "allow" and p.argument == argument]
            _check_allowed(spec, principal, arguments, about)
        for policy in () if approved else policies:
            if policy.effect == "ask" and policy.is_for(principal):
                policy.refuse(spec, arguments)

    def _of(self, name: str) -> tuple[_Policy, ...]:
        if not self._all:
            return ()
        found = self._by_tool.get(name)
        if found is None:
            found = tuple(one for one in self._all if fnmatchcase(name, one.settings.tool))
            self._by_tool[name] = found
        return found


@dataclass(frozen=True)
class _Policy:
    """One policy, made ready to be checked."""

    settings: PolicySettings

    @property
    def effect(self) -> str:
        return self.settings.effect

    @property
    def argument(self) -> str:
        return self.settings.argument or ""

    @property
    def reason(self) -> str:
        return f" {self.settings.reason}" if self.settings.reason else ""

    @cached_property
    def met(self) -> Condition:
        return condition_of(self.settings)

    @cached_property
    def words(self) -> str:
        return words_of(self.settings)

    @cached_property
    def _roles(self) -> frozenset[str]:
        return frozenset(self.settings.roles)

    def is_for(self, principal: Principal) -> bool:
        return not self._roles or not self._roles.isdisjoint(principal.roles)

    def concerns(self, spec: ToolSpec) -> bool:
        """Whether the tool has the argument, as far as one can tell without a call."""
        top = self.argument.partition(".")[0]
        named = _PATTERN.isdisjoint(self.settings.tool)
        return named or top in spec.input_schema.get("properties", {})

    def values(self, spec: ToolSpec, arguments: Mapping[str, Any]) -> list[Any]:
        """What the call would have there: what is given, or what the tool takes without it."""
        found = _values(arguments, self.argument)
        default = spec.input_schema.get("properties", {}).get(self.argument, {})
        if found == [_MISSING] and isinstance(default, dict) and "default" in default:
            return _flat(default["default"])
        return found

    def refuse(self, spec: ToolSpec, arguments: Mapping[str, Any]) -> None:
        """Raise when this policy, which denies or asks, is met or may be."""
        error = ToolRefused if self.effect == "deny" else ApprovalNeeded
        is_so = "is denied" if self.effect == "deny" else _UNAPPROVED
        if not self.argument:
            raise error(f"{spec.name}: a call of this tool {is_so}.{self.reason}")
        conditions = self.settings.conditions
        values = self.values(spec, arguments) if conditions else _values(arguments, self.argument)
        for value in values:
            met = value is not _MISSING and self.met(value)
            if met is False:
                continue
            doubt = ", which may be" if met is None else ""
            told = f", and a value {self.words}" if conditions else ", and any value of it"
            raise error(
                f"{spec.name}: argument '{self.argument}' is {shown(value)}{doubt}{told} {is_so}."
                f"{self.reason}"
            )


_UNAPPROVED = "has to be approved by somebody, which nobody has done"


def _check_allowed(
    spec: ToolSpec, principal: Principal, arguments: Mapping[str, Any], policies: Sequence[_Policy]
) -> None:
    """Raise unless each value of the argument that ``policies`` are about meets one of them."""
    mine = [policy for policy in policies if policy.is_for(principal)]
    for value in policies[0].values(spec, arguments):
        if value is _MISSING:
            if any(policy.concerns(spec) for policy in policies):
                raise _not_allowed(spec, "is missing", policies[0].argument, mine)
        elif not any(policy.met(value) for policy in mine):
            raise _not_allowed(spec, f"is {shown(value)}", policies[0].argument, mine)


def _not_allowed(
    spec: ToolSpec, said: str, argument: str, policies: Sequence[_Policy]
) -> ToolRefused:
    what = ", or ".join(f"a value {policy.words}" for policy in policies)
    reason = "".join(dict.fromkeys(policy.reason for policy in policies))
    allowed = f"what is allowed is {what}" if what else "no value of it is allowed to you"
    return ToolRefused(f"{spec.name}: argument '{argument}' {said}; {allowed}.{reason}")


_MISSING = object()
"""Stands where a call has nothing."""


def _values(arguments: Mapping[str, Any], path: str) -> list[Any]:
    """What is at ``path``: each item of a list, and ``_MISSING`` for what is not there."""
    found: list[Any] = [arguments]
    for part in path.split("."):
        found = [value for node in found for value in _below(node, part)]
    return [item for value in found for item in _flat(value)]


def _below(node: Any, part: str) -> list[Any]:
    if isinstance(node, (list, tuple)):
        if part == "*":
            return list(node)
        if part.isdecimal():
            return [node[int(part)]] if int(part) < len(node) else [_MISSING]
        return [value for item in _flat(node) for value in _below(item, part)]
    if isinstance(node, Mapping):
        return list(node.values()) if part == "*" else [node.get(part, _MISSING)]
    return [_MISSING]


def _flat(value: Any) -> list[Any]:
    """The items of lists within lists, however deep a model has nested them."""
    found: list[Any] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, (list, tuple)):
            waiting.extend(reversed(one))
        else:
            found.append(one)
    return found
