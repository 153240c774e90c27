"""One operation of a document: what it takes, and the request that its arguments become."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from codin.tool.openapi.body import Body, File, is_json
from codin.tool.openapi.styles import in_header, in_path, pairs_of, percent, text_of

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
"""Methods whose repetition changes nothing more (RFC 9110, section 9.2.2)."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing (RFC 9110, section 9.2.1)."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter: ``argument`` is what the tool calls it, ``name`` what the API does.

    ``media_type`` is set where its value is a text of that type, such as JSON.
    """

    argument: str
    name: str
    place: str
    style: str
    explode: bool
    required: bool = False
    reserved: bool = False
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class Requirement:
    """One way to be let in: the schemes that it takes together, each with its scopes."""

    schemes: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that can be called.

    ``input_schema`` is the tool's; ``server`` the address before ``path``; ``security`` the ways
    to be let in, of which one is enough (none: nothing is asked for).
    """

    name: str
    id: str
    method: str
    path: str
    description: str
    input_schema: dict[str, Any]
    server: str
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    security: tuple[Requirement, ...] = ()
    tags: tuple[str, ...] = ()
    deprecated: bool = False
    accepts: tuple[str, ...] = field(default=("application/json",))

    def request(
        self, arguments: Mapping[str, Any], files: Mapping[str, File] | None = None
    ) -> httpx.Request:
        """The request of a call with ``arguments``, without credentials. ``files`` are the
        contents of the files that the arguments name, by their names there.

        Raises:
            ValueError: an argument cannot stand where it has to; the message says why.
        """
        url = self.server.rstrip("/") + self._path(arguments)
        query = [
            f"{name}={text}" if name else text
            for parameter in self._given("query", arguments)
            for name, text in self._pairs(parameter, arguments[parameter.argument])
        ]
        if query:
            url += ("&" if "?" in url else "?") + "&".join(query)
        headers = [("Accept", ", ".join(self.accepts))]
        for parameter in self._given("header", arguments):
            value = _encoded(parameter, arguments[parameter.argument])
            headers.append((parameter.name, in_header(value, explode=parameter.explode)))
        cookies = [
            f"{name}={text}"
            for parameter in self._given("cookie", arguments)
            for name, text in self._pairs(parameter, arguments[parameter.argument])
        ]
        if cookies:
            headers.append(("Cookie", "; ".join(cookies)))
        content: dict[str, Any] = {}
        if self.body is not None and self.body.argument in arguments:
            content = self.body.content(arguments[self.body.argument], files or {})
            headers += content.pop("headers", [])
        return httpx.Request(self.method, url, headers=headers, **content)

    def _given(self, place: str, arguments: Mapping[str, Any]) -> list[Parameter]:
        return [p for p in self.parameters if p.place == place and p.argument in arguments]

    def _path(self, arguments: Mapping[str, Any]) -> str:
        path = self.path
        for parameter in self._given("path", arguments):
            value = _encoded(parameter, arguments[parameter.argument])
            written = in_path(parameter.name, value, parameter.style, explode=parameter.explode)
            path = path.replace("{" + parameter.name + "}", written)
        return path

    def _pairs(self, parameter: Parameter, value: Any) -> list[tuple[str, str]]:
        def write(text: str) -> str:
            return percent(text, reserved=parameter.reserved)

        value = _encoded(parameter, value)
        return pairs_of(
            parameter.name, value, parameter.style, explode=parameter.explode, write=write
        )


def _encoded(parameter: Parameter, value: Any) -> Any:
    """``value``, or the text of its media type that stands for it."""
    if parameter.media_type is None:
        return value
    return (
        json.dumps(value, ensure_ascii=False) if is_json(parameter.media_type) else text_of(value)
    )
