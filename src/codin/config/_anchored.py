"""Paths of a settings file: relative ones are relative to the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_PATHS = (
    ("data",),
    ("tools",),
    ("home",),
    ("server", "certificate"),
    ("server", "certificate_key"),
    ("security", "card_keys"),
    ("security", "keys"),
    ("goal", "plan"),
)


def anchored(values: dict[str, Any], base: Path) -> dict[str, Any]:
    """``values`` of a file in ``base``, with all paths absolute."""
    found = values
    for place in _PATHS:
        found = _anchored_at(found, place, base)
    if isinstance(found.get("agents"), list):
        agents = [_anchored_agent(entry, base) for entry in found["agents"]]
        found = found | {"agents": agents}
    if isinstance(found.get("openapi"), dict):
        apis = {name: _anchored_api(api, base) for name, api in found["openapi"].items()}
        found = found | {"openapi": apis}
    if isinstance(found.get("secrets"), dict):
        found = found | {"secrets": _anchored_secrets(found["secrets"], base)}
    if isinstance(found.get("commands"), dict):
        commands = {name: _anchored_env(one, base) for name, one in found["commands"].items()}
        found = found | {"commands": commands}
    if isinstance(found.get("mcp"), dict):
        servers = {name: _anchored_server(one, base) for name, one in found["mcp"].items()}
        found = found | {"mcp": servers}
    return found


def _anchored_at(value: Any, place: tuple[str, ...], base: Path) -> Any:
    """``value`` with what is at ``place`` in it anchored; what has another form is left to the
    model, which says so."""
    if isinstance(value, dict) and place and place[0] in value:
        return value | {place[0]: _anchored_at(value[place[0]], place[1:], base)}
    if place:
        return value
    if isinstance(value, list):
        return [_anchored_at(item, (), base) for item in value]
    return str((base / value).resolve()) if isinstance(value, str) else value


def _anchored_api(entry: object, base: Path) -> object:
    if not isinstance(entry, dict):
        return entry
    changed = dict(entry)
    document = entry.get("document")
    if isinstance(document, str) and not document.startswith(("http://", "https://")):
        changed["document"] = str((base / Path(document).expanduser()).resolve())
    if isinstance(entry.get("credentials"), dict):
        changed["credentials"] = {
            name: _anchored_secrets(credential, base)
            for name, credential in entry["credentials"].items()
        }
    return changed


def _anchored_server(entry: object, base: Path) -> object:
    """An MCP server's entry; what starts it is looked for inside, and stays as it is."""
    if not isinstance(entry, dict):
        return entry
    changed = {
        name: _anchored_secrets(entry[name], base)
        for name in ("env", "headers")
        if isinstance(entry.get(name), dict)
    }
    if isinstance(mounts := entry.get("mounts"), list):
        changed["mounts"] = [_anchored_at(mount, ("source",), base) for mount in mounts]
    return _anchored_at(entry | changed, ("token", "file"), base)


def _anchored_env(entry: object, base: Path) -> object:
    if not isinstance(entry, dict) or "env" not in entry:
        return entry
    return entry | {"env": _anchored_secrets(entry["env"], base)}


def _anchored_secrets(credential: object, base: Path) -> object:
    if not isinstance(credential, dict):
        return credential
    return {name: _anchored_at(value, ("file",), base) for name, value in credential.items()}


def _anchored_agent(entry: object, base: Path) -> object:
    if not isinstance(entry, dict) or not isinstance(entry.get("source"), str):
        return entry
    file, colon, attribute = entry["source"].partition(":")
    changed = dict(entry)
    if (base / file).exists():
        changed["source"] = str((base / file).resolve()) + colon + attribute
    if isinstance(python := entry.get("python"), str) and "/" in python:
        # not resolved: a virtual environment is told by the link that its Python is
        changed["python"] = str(base / Path(python).expanduser())
    return changed
