"""An OpenAPI document: read from a file or an address, and looked up in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urljoin

import httpx

from codin.security import OutgoingGuard
from codin.tool.openapi.errors import OpenApiError, UnusableOperation

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
"""Of one document: a large cloud's whole API has 47 MB."""
_MAX_NODES = 3_000_000
_MAX_YAML_NODES = 1_000_000
_MAX_DEPTH = 300
_READ_SECONDS = 60.0
_MAX_REFERENCES = 32

Version = Literal["3.0", "3.1"]


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it was read. ``source`` is its file or address, for relative servers and for
    messages."""

    raw: Mapping[str, Any]
    version: Version
    source: str

    @property
    def title(self) -> str:
        """What it calls itself."""
        info = self.raw.get("info")
        return str(info.get("title", "")) if isinstance(info, Mapping) else ""

    def section(self, *names: str) -> Mapping[str, Any]:
        """The object at the place ``names``; an empty one where there is none."""
        found: Any = self.raw
        for name in names:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    def followed(self, value: Any) -> Any:
        """``value``, or what it refers to.

        Raises:
            UnusableOperation: the reference leads nowhere, to another document, or in a circle.
        """
        for _ in range(_MAX_REFERENCES):
            if not isinstance(value, Mapping) or not isinstance(value.get("$ref"), str):
                return value
            value = self._at(value["$ref"])
        raise UnusableOperation(f"the references in it lead in a circle ({value.get('$ref')})")

    def address(self, url: str) -> str:
        """``url`` of a server, which may be relative to where the document was found."""
        return urljoin(self.source, url) if self.source.startswith(("http:", "https:")) else url

    def _at(self, reference: str) -> Any:
        if not reference.startswith("#"):
            raise UnusableOperation(
                f"it refers to another document ({reference}); bundle it into one, such as with "
                "`npx @redocly/cli bundle`"
            )
        found: Any = self.raw
        for part in reference[1:].split("/")[1:]:
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            elif isinstance(found, Mapping) and name in found:
                found = found[name]
            else:
                raise UnusableOperation(f"it refers to {reference}, which is not there")
        return found


async def read_document(
    source: str | Path,
    guard: OutgoingGuard | None = None,
    *,
    most_bytes: int = MAX_DOCUMENT_BYTES,
) -> Document:
    """The document in the file or at the address ``source``, JSON or YAML.

    An address is connected to through ``guard``.

    Raises:
        OpenApiError: it cannot be read, is too large, or is no OpenAPI 3.0 or 3.1.
        OutgoingRefused: the platform may not connect to the address.
    """
    where = str(source)
    if where.startswith(("http://", "https://")):
        content = await _fetched(where, guard or OutgoingGuard(), most_bytes)
    else:
        content, where = await asyncio.to_thread(_read, Path(source), most_bytes)
    return await asyncio.to_thread(parsed, content, where)


def parsed(content: bytes, source: str) -> Document:
    """The document that ``content`` is.

    Raises:
        OpenApiError: it is none of 3.0 or 3.1.
    """
    raw = _decoded(content, source)
    if not isinstance(raw, dict):
        raise OpenApiError(f"{source}: is no OpenAPI document, which is one object")
    version = str(raw.get("openapi", ""))
    if version.startswith(("3.0", "3.1")):
        return Document(raw, "3.0" if version.startswith("3.0") else "3.1", source)
    if "swagger" in raw:
        raise OpenApiError(
            f"{source}: is Swagger {raw['swagger']}; OpenAPI 3.0 or 3.1 is needed: convert it, "
            "such as with `npx swagger2openapi`"
        )
    said = f"'openapi' is {version!r}" if version else "there is no 'openapi' in it"
    raise OpenApiError(f"{source}: OpenAPI 3.0 or 3.1 is needed, and {said}")


def _read(file: Path, most: int) -> tuple[bytes, str]:
    try:
        with file.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise OpenApiError(f"{file}: cannot be read: {error.strerror}") from error
    if len(content) > most:
        raise _too_large(str(file), most)
    return content, str(file.absolute())


async def _fetched(url: str, guard: OutgoingGuard, most: int) -> bytes:
    content = bytearray()
    headers = {"Accept": "application/json, application/yaml, */*"}
    try:
        async with (
            guard.client(timeout=_READ_SECONDS) as client,
            client.stream("GET", url, headers=headers, follow_redirects=True) as answer,
        ):
            answer.raise_for_status()
            async for piece in answer.aiter_bytes():
                content += piece
                if len(content) > most:
                    raise _too_large(url, most)
    except httpx.HTTPStatusError as error:
        raise OpenApiError(f"{url}: answered {error.response.status_code}") from error
    except httpx.HTTPError as error:
        raise OpenApiError(f"{url}: cannot be read: {error or type(error).__name__}") from error
    return bytes(content)


def _too_large(source: str, most: int) -> OpenApiError:
    return OpenApiError(f"{source}: is larger than {most:,} bytes; give the part that is needed")


def _decoded(content: bytes, source: str) -> Any:
    if content.lstrip()[:1] == b"{":
        _check_parts(content, source)
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise OpenApiError(f"{source}: is not JSON: {error}") from error
    return _from_yaml(content, source)


def _check_parts(content: bytes, source: str) -> None:
    """Two bytes of JSON can be a hundred in memory: what it will have is counted before."""
    if sum(map(content.count, (b"{", b"[", b","))) > _MAX_NODES:
        raise OpenApiError(
            f"{source}: has more than {_MAX_NODES:,} values; give the part that is needed"
        )


def _from_yaml(content: bytes, source: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise OpenApiError(
            f"{source}: reading YAML needs PyYAML: pip install 'codin[platform]'"
        ) from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_events(yaml.parse(content, Loader=loader), source)
        raw = yaml.load(content, Loader=loader)  # noqa: S506 - both are safe
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise OpenApiError(f"{source}: is not YAML: {str(error)[:300]}") from error
    _check_size(raw, source)
    return raw


def _check_events(events: Iterable[Any], source: str) -> None:
    """libyaml builds what is nested by calling itself, until the process dies; and what PyYAML
    builds takes several times the memory that JSON takes."""
    depth = 0
    for count, event in enumerate(events):
        if count > _MAX_YAML_NODES:
            raise OpenApiError(
                f"{source}: has more than {_MAX_YAML_NODES:,} values, which is too much for YAML; "
                "give it as JSON, such as by `npx @redocly/cli bundle --ext json`"
            )
        kind = type(event).__name__
        depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
        if depth > _MAX_DEPTH:
            raise OpenApiError(f"{source}: is nested more than {_MAX_DEPTH} deep")


def _check_size(raw: Any, source: str) -> None:
    """Aliases make small YAML large, or endless, once it is gone through."""
    nodes = 0
    waiting = [raw]
    while waiting:
        nodes += 1
        if nodes > _MAX_NODES:
            raise OpenApiError(f"{source}: its aliases make it endless, or far too large")
        match waiting.pop():
            case dict() as inner:
                waiting.extend(inner.values())
            case list() as inner:
                waiting.extend(inner)
