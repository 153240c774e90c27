"""What a server says it offers, as far as it can be believed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import jsonschema_rs

from codin.tool._text import clean, clean_schema
from codin.tool.base import Effects

if TYPE_CHECKING:
    import mcp_types as types
    from mcp.client.session import ClientSession

SCHEMA_CHARS = 24_000
MOST_TOOLS = 2_000
_MOST_PAGES = 200
_DESCRIPTION_CHARS = 2_000
_FIELD_CHARS = 600
_NAME = re.compile(r"[A-Za-z0-9_./-]{1,128}")
_MOST_NAME = 64


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool of a server. ``theirs`` is its name there, ``mark`` the hash of all that it says."""

    name: str
    theirs: str
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None
    effects: Effects
    mark: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt of a server, and the names of its arguments; ``needed`` have to be given."""

    name: str
    description: str
    arguments: tuple[str, ...]
    needed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """What a server offers, and in a sentence each what of it cannot be used."""

    offers: tuple[Offer, ...]
    problems: tuple[str, ...]
    prompts: tuple[Prompt, ...] = ()
    resources: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is taken of a server's tools: ``patterns`` of their names there (all without any), with
    schemas of no more than ``schema_chars``. ``namespace`` stands before their names."""

    namespace: str
    patterns: tuple[str, ...] = ()
    schema_chars: int = SCHEMA_CHARS

    def takes(self, name: str) -> bool:
        """Whether a tool of that name there is wanted."""
        return not self.patterns or any(fnmatchcase(name, each) for each in self.patterns)


async def read_listing(session: ClientSession, wanted: Wanted) -> Listing:
    """What the server behind ``session`` offers now."""
    can = session.server_capabilities
    tools = await _tools(session) if can and can.tools else []
    # Thousands of tools are more than a moment's work.
    offers, problems = await asyncio.to_thread(offers_of, tools, wanted)
    prompts = await _prompts(session) if can and can.prompts else ()
    resources = bool(can and can.resources) and await _has_resources(session)
    return Listing(offers, problems, prompts, resources=resources)


def offers_of(
    tools: Iterable[types.Tool], wanted: Wanted
) -> tuple[tuple[Offer, ...], tuple[str, ...]]:
    """Those of ``tools`` that can be offered, and why the others cannot."""
    offers: dict[str, Offer] = {}
    problems: list[str] = []
    for count, tool in enumerate(tools):
        if count >= MOST_TOOLS:
            problems.append(f"it has more than {MOST_TOOLS:,} tools: the others are left out")
            break
        if not wanted.takes(tool.name):
            continue
        told = clean(tool.name, 80)
        try:
            offer = _offer(tool, wanted)
        except (ValueError, RecursionError) as error:
            problems.append(f"its tool {told!r} is left out: {error}")
            continue
        if offer.name in offers:
            problems.append(f"its tool {told!r} is left out: two of its tools have that name")
            continue
        offers[offer.name] = offer
    return tuple(offers.values()), tuple(problems)


def _offer(tool: types.Tool, wanted: Wanted) -> Offer:
    name = name_in(wanted.namespace, tool.name)
    given = _checked("input", tool.input_schema, wanted.schema_chars)
    if given.get("type") != "object":
        raise ValueError("its input is no object")
    try:
        output = tool.output_schema and _checked("output", tool.output_schema, wanted.schema_chars)
    except ValueError:
        output = None  # it can be called without
    said = clean(tool.description or "", _DESCRIPTION_CHARS)
    head = f"Tool {tool.name} of the MCP server {wanted.namespace}"
    return Offer(
        name,
        tool.name,
        f"{head}: {said}" if said else f"{head}.",
        clean_schema(given, _FIELD_CHARS),
        clean_schema(output, _FIELD_CHARS) if output else None,
        _effects(tool.annotations),
        _mark(tool),
    )


def name_in(namespace: str, theirs: str) -> str:
    """The name of a server's tool here: within 64 characters, all of which models take.

    Raises:
        ValueError: it is no name.
    """
    if not _NAME.fullmatch(theirs):
        raise ValueError("that is no name: up to 128 letters, digits, '_', '-', '.' and '/'")
    name = f"{namespace}_{re.sub(r'[./]', '_', theirs)}"
    if len(name) <= _MOST_NAME:
        return name
    return f"{name[: _MOST_NAME - 9]}_{hashlib.sha256(theirs.encode()).hexdigest()[:8]}"


def _checked(which: str, schema: Mapping[str, Any], most: int) -> dict[str, Any]:
    """The schema, which is one, and refers to nothing outside of itself."""
    try:
        size = len(json.dumps(schema))
    except (ValueError, RecursionError):
        raise ValueError(f"its {which} schema is too deep") from None
    if size > most:
        raise ValueError(
            f"its {which} schema has {size:,} characters, more than the {most:,} that one may have "
            "(schema_chars)"
        )
    try:
        jsonschema_rs.validator_for(dict(schema), offline=True)
    except (jsonschema_rs.ValidationError, ValueError, RecursionError) as error:
        said = getattr(error, "message", "") or str(error)
        raise ValueError(f"its {which} schema is no JSON Schema: {clean(said, 200)}") from None
    return dict(schema)


def _effects(hints: types.ToolAnnotations | None) -> Effects:
    if hints is not None and hints.read_only_hint:
        return "none"
    return "repeatable" if hints is not None and hints.idempotent_hint else "once"


def _mark(tool: types.Tool) -> str:
    said = tool.model_dump(
        mode="json", include={"description", "input_schema", "output_schema", "annotations"}
    )
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


async def _tools(session: ClientSession) -> list[types.Tool]:
    import mcp_types as types

    found: list[types.Tool] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        params = types.PaginatedRequestParams(cursor=cursor) if cursor else None
        page = await session.list_tools(params=params)
        found += page.tools
        cursor = page.next_cursor
        if not cursor or len(found) > MOST_TOOLS:
            break
    return found


async def _prompts(session: ClientSession) -> tuple[Prompt, ...]:
    """The first page of prompts: their names are for a description, which is short."""
    page = await session.list_prompts()
    return tuple(
        Prompt(
            each.name,
            clean(each.description or "", 200),
            tuple(one.name for one in each.arguments or ()),
            tuple(one.name for one in each.arguments or () if one.required),
        )
        for each in page.prompts
        if _NAME.fullmatch(each.name)
    )


async def _has_resources(session: ClientSession) -> bool:
    """Whether there are any: many servers say that they have resources, and have none."""
    from mcp.shared.exceptions import MCPError

    try:
        if (await session.list_resources()).resources:
            return True
        return bool((await session.list_resource_templates()).resource_templates)
    except MCPError:
        return False
