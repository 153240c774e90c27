"""Conditions on the value of an argument: met, not met, or not to be told."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from codin.config import PolicySettings
from codin.errors import InvalidInputError
from codin.sandbox.base import WORKSPACE
from codin.security.targets import Target, target_of

Condition = Callable[[Any], bool | None]
"""Whether a value meets it; ``None`` when that cannot be told."""

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21, "ssh": 22}


def condition_of(policy: PolicySettings) -> Condition:
    """All conditions of ``policy`` together."""
    made = [_MAKERS[name](getattr(policy, name)) for name in policy.conditions]

    def met(value: Any) -> bool | None:
        unclear = False
        for one in made:
            found = one(value)
            if found is False:
                return False
            unclear |= found is None
        return None if unclear else True

    return met


def words_of(policy: PolicySettings) -> str:
    """What the value has to be, in words: ``at most 100 and at least 1``."""
    return " and ".join(_WORDS[name](getattr(policy, name)) for name in policy.conditions)


def _among(values: tuple[Any, ...]) -> Condition:
    from jsonschema_rs import Draft202012Validator

    # Values are equal as JSON has it: True is not 1, and 1.0 is.
    validator = Draft202012Validator({"enum": list(values)})
    return validator.is_valid


def _not_among(values: tuple[Any, ...]) -> Condition:
    among = _among(values)
    return lambda value: not among(value)


def _like(pattern: str) -> Condition:
    from jsonschema_rs import Draft202012Validator, RegexOptions

    # An engine whose time grows with the text alone: models write what is matched here.
    options = RegexOptions()
    validator = Draft202012Validator({"pattern": f"^(?:{pattern})$"}, pattern_options=options)
    return lambda value: validator.is_valid(value) if isinstance(value, str) else None


def _at_least(least: float) -> Condition:
    return lambda value: value >= least if _is_number(value) else None


def _at_most(most: float) -> Condition:
    return lambda value: value <= most if _is_number(value) else None


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and value == value  # noqa: PLR0124 - what is not equal to itself is no number


def _at_hosts(entries: tuple[str, ...]) -> Condition:
    def at(value: Any) -> bool | None:
        target = _target(value)
        return None if target is None else any(_is_at(target, entry) for entry in entries)

    return at


def _is_at(target: Target, entry: str) -> bool:
    named = str(target) if _has_port(entry) else target.host
    if not entry.startswith("*."):
        return named == entry
    return target.address is None and named.endswith(entry[1:])


def _has_port(entry: str) -> bool:
    return entry.startswith("[") or entry.count(":") == 1


def _target(url: Any) -> Target | None:
    """Where ``url`` leads, where everybody who reads it reads the same."""
    import httpx

    if not isinstance(url, str) or any(c <= " " or c in "\\\x7f" for c in url):
        return None
    try:
        read, other = httpx.URL(url), urlsplit(url)
        host = read.raw_host.decode("ascii").strip("[]")
        port = read.port or _PORTS.get(read.scheme)
        if not host or port is None or read.userinfo or "@" in other.netloc:
            return None
        found = target_of(host, port)
        again = target_of(other.hostname or "", other.port or _PORTS.get(other.scheme, 0))
    except (httpx.InvalidURL, InvalidInputError, ValueError):
        return None
    return found if found == again else None


def _below(folders: tuple[str, ...]) -> Condition:
    roots = [_path(folder) for folder in folders]

    def below(value: Any) -> bool | None:
        if not isinstance(value, str) or value.startswith("~") or "://" in value:
            return None
        if "\0" in value or "\\" in value or ".." in value.split("/"):
            return None
        return any(_path(value).is_relative_to(root) for root in roots)

    return below


def _path(text: str) -> PurePosixPath:
    # Two slashes at the beginning are a root of their own to pathlib.
    return PurePosixPath(WORKSPACE, f"/{text.lstrip('/')}" if text.startswith("/") else text)


def _listed(values: tuple[Any, ...]) -> str:
    return ", ".join(json.dumps(value, ensure_ascii=False) for value in values[:40])


_MAKERS: Mapping[str, Callable[[Any], Condition]] = {
    "one_of": _among,
    "not_in": _not_among,
    "pattern": _like,
    "min": _at_least,
    "max": _at_most,
    "hosts": _at_hosts,
    "below": _below,
}
_WORDS: Mapping[str, Callable[[Any], str]] = {
    "one_of": lambda values: f"one of {_listed(values)}",
    "not_in": lambda values: f"none of {_listed(values)}",
    "pattern": partial("text that matches {}".format),
    "min": partial("at least {:,.15g}".format),
    "max": partial("at most {:,.15g}".format),
    "hosts": lambda hosts: f"at the host {' or '.join(hosts)}",
    "below": lambda folders: f"below {' or '.join(folders)}",
}
