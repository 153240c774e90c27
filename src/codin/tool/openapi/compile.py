"""The operations of a document, each compiled by itself: one that is wrong costs no other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openapi_pydantic.v3 import v3_0, v3_1
from pydantic import ValidationError

from codin.tool._text import clean
from codin.tool.openapi.bodies import Bodies
from codin.tool.openapi.body import is_json
from codin.tool.openapi.document import Document
from codin.tool.openapi.errors import UnusableOperation
from codin.tool.openapi.operation import Operation, Parameter, Requirement
from codin.tool.openapi.schemas import BUDGET, MOST_DESCRIPTION, Schemas, described
from codin.tool.openapi.styles import checked_style

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
MOST_OPERATIONS = 30_000
"""Of one document that are compiled: the largest that is known has 22,361."""
_BODY = "body"
_NAME_LENGTH = 64
_NO_NAME = re.compile(r"[^A-Za-z0-9_]+")
_TEMPLATE = re.compile(r"\{([^{}]*)\}")
# "If in is header and the name is Accept, Content-Type or Authorization, the definition shall be
# ignored" (3.1.1, section 4.8.12.1).
_NOT_PARAMETERS = frozenset({"accept", "content-type", "authorization"})
_NOT_SETTABLE = frozenset({"host", "content-length", "transfer-encoding", "connection"})


Names = tuple[str, ...]
"""What one operation can be named by."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """An operation that is no tool, and why."""

    method: str
    path: str
    id: str
    reason: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Compiled:
    """What came of a document."""

    operations: tuple[Operation, ...]
    skipped: tuple[Skipped, ...]


def compile_document(
    document: Document,
    *,
    prefix: str = "",
    server: str | None = None,
    variables: Mapping[str, str] | None = None,
    budget: int = BUDGET,
    takes: Callable[[Names], bool] | None = None,
) -> Compiled:
    """All operations of ``document`` that can be called, and those that cannot.

    Args:
        prefix: what the names begin with, before ``_``.
        server: where the API is; the document's first server otherwise.
        variables: values for the variables in servers' addresses.
        budget: characters that the schema of one operation may have.
        takes: says of an operation's names whether it is wanted; without it, all are.
    """
    compiler = _Compiler(document, prefix, server, variables or {}, budget)
    operations: list[Operation] = []
    skipped: list[Skipped] = []
    for method, path, item in _found(document, skipped):
        if takes is not None and not takes(_names(method, path, item)):
            continue
        if len(operations) + len(skipped) >= MOST_OPERATIONS:
            skipped.append(Skipped("*", "*", "", _TOO_MANY))
            break
        try:
            operations.append(compiler.compiled(method.upper(), path, item))
        except UnusableOperation as error:
            skipped.append(_skipped(method, path, item, str(error)))
        except RecursionError:
            skipped.append(_skipped(method, path, item, "it is nested too deep"))
    return Compiled(tuple(operations), tuple(skipped))


_TOO_MANY = (
    f"there are more than {MOST_OPERATIONS:,}, and the others are left out: name those that are "
    "needed (operations)"
)


def _found(
    document: Document, skipped: list[Skipped]
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """The method and the path of each operation, and what its path has."""
    for path, raw in document.section("paths").items():
        try:
            item = document.followed(raw)
        except UnusableOperation as error:
            skipped.append(Skipped("*", str(path), "", str(error)))
            continue
        for method in METHODS if isinstance(item, Mapping) else ():
            if method in item:
                yield method, str(path), item


def _names(method: str, path: str, item: Mapping[str, Any]) -> Names:
    """What an operation can be named by: its id, its method and path, its tags."""
    raw = item[method]
    place = f"{method.upper()} {path}"
    if not isinstance(raw, Mapping):
        return (place,)
    tags = map(str, _listed(raw, "tags"))
    return (str(raw.get("operationId") or place), place, *tags)


def _skipped(method: str, path: Any, item: Mapping[str, Any], reason: str) -> Skipped:
    raw = item[method]
    named = raw.get("operationId") if isinstance(raw, Mapping) else None
    return Skipped(method.upper(), str(path), str(named or ""), reason)


class _Compiler:
    def __init__(
        self,
        document: Document,
        prefix: str,
        server: str | None,
        variables: Mapping[str, str],
        budget: int,
    ) -> None:
        self._document = document
        self._prefix = prefix
        self._server = server
        self._variables = variables
        self._schemas = Schemas(document, budget=budget)
        self._bodies = Bodies(self._schemas)
        self._models = v3_0 if document.version == "3.0" else v3_1
        self._names: set[str] = set()

    def compiled(self, method: str, path: str, item: Mapping[str, Any]) -> Operation:
        operation = self._checked(item[method.lower()])
        parameters = self._parameters(path, item, operation)
        properties: dict[str, Any] = {}
        required: list[str] = []
        for parameter, schema in parameters:
            properties[parameter.argument] = schema
            if parameter.required:
                required.append(parameter.argument)
        body = None
        if (given := operation.get("requestBody")) is not None:
            argument = _BODY if _BODY not in properties else f"{_BODY}_"
            body, schema = self._bodies.compiled(argument, self._document.followed(given))
            properties[argument] = schema
            if body.required:
                required.append(argument)
        schema = {"type": "object", "properties": properties, "additionalProperties": False}
        if required:
            schema["required"] = required
        return Operation(
            name=self._named(method, path, operation),
            id=str(operation.get("operationId") or f"{method} {path}"),
            method=method,
            path=path,
            description=self._description(method, path, operation),
            input_schema=self._schemas.closed(schema),
            server=self._server_of(item, operation),
            parameters=tuple(parameter for parameter, _ in parameters),
            body=body,
            security=self._security(operation),
            tags=tuple(str(tag) for tag in operation.get("tags") or ()),
            deprecated=operation.get("deprecated") is True,
            accepts=self._accepts(operation),
        )

    def _checked(self, raw: Any) -> Mapping[str, Any]:
        """The operation, whose own fields are as the specification has them. What it takes and
        answers is looked at apart."""
        if not isinstance(raw, Mapping):
            raise UnusableOperation("it is no object")
        apart = {"parameters", "requestBody", "responses", "callbacks"}
        own = {key: value for key, value in raw.items() if key not in apart}
        _validated(self._models.Operation, {**own, "responses": {}})
        return raw

    def _parameters(
        self, path: str, item: Mapping[str, Any], operation: Mapping[str, Any]
    ) -> list[tuple[Parameter, dict[str, Any]]]:
        found: dict[tuple[str, str], Mapping[str, Any]] = {}
        for raw in (*_listed(item, "parameters"), *_listed(operation, "parameters")):
            one = self._document.followed(raw)
            if not isinstance(one, Mapping):
                raise UnusableOperation("one of its parameters is no object")
            # An operation's own come after those of its path, and override them.
            found[str(one.get("in")), str(one.get("name"))] = one
        named = [str(name) for _, name in found]
        made = [
            self._parameter(place, name, one, twice=named.count(name) > 1)
            for (place, name), one in found.items()
            if not (place == "header" and name.lower() in _NOT_PARAMETERS)
        ]
        missing = set(_TEMPLATE.findall(path)) - {p.name for p, _ in made if p.place == "path"}
        if missing:
            raise UnusableOperation(
                f"its path has {{{min(missing)}}}, and no path parameter of that name"
            )
        return made

    def _parameter(
        self, place: str, name: str, raw: Mapping[str, Any], *, twice: bool
    ) -> tuple[Parameter, dict[str, Any]]:
        slim = {key: value for key, value in raw.items() if key not in {"schema", "content"}}
        _validated(self._models.Parameter, slim)
        if place == "header" and name.lower() in _NOT_SETTABLE:
            raise UnusableOperation(f"it wants the header {name!r}, which is not the caller's")
        media_type = None
        schema = raw.get("schema", {})
        if isinstance(content := raw.get("content"), Mapping) and content:
            media_type, inner = next(iter(content.items()))
            schema = inner.get("schema", {}) if isinstance(inner, Mapping) else {}
        style = checked_style(name, place, raw.get("style"))
        explode = raw.get("explode")
        parameter = Parameter(
            argument=f"{name}_in_{place}" if twice else name,
            name=name,
            place=place,
            style=style,
            explode=style in {"form", "deepObject"} if explode is None else bool(explode),
            required=place == "path" or raw.get("required") is True,
            reserved=raw.get("allowReserved") is True,
            media_type=media_type,
        )
        converted = self._schemas.convert(schema)
        about = raw.get("description")
        return parameter, described(converted, about if isinstance(about, str) else "")

    def _server_of(self, item: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
        if self._server is not None:
            return self._server
        for holder in (operation, item, self._document.raw):
            servers = _listed(holder, "servers")
            if servers:
                return self._document.address(self._filled(servers[0]))
        raise UnusableOperation("the document names no server: give one (server)")

    def _filled(self, raw: Any) -> str:
        _validated(self._models.Server, raw)
        url = str(raw["url"])
        variables = raw.get("variables") or {}
        for name in _TEMPLATE.findall(url):
            known = variables.get(name, {})
            value = self._variables.get(name, known.get("default"))
            if value is None:
                raise UnusableOperation(f"its server {url} has {{{name}}}, which nobody gives")
            choices = known.get("enum")
            if choices and str(value) not in [str(choice) for choice in choices]:
                raise UnusableOperation(
                    f"its server's {{{name}}} is one of {', '.join(map(str, choices))}: not {value}"
                )
            url = url.replace("{" + name + "}", str(value))
        return url

    def _security(self, operation: Mapping[str, Any]) -> tuple[Requirement, ...]:
        raw = operation.get("security", self._document.raw.get("security"))
        known = self._document.section("components", "securitySchemes")
        ways = []
        for one in raw if isinstance(raw, list) else ():
            if not isinstance(one, Mapping):
                raise UnusableOperation("its security is no list of objects")
            if missing := [name for name in one if name not in known]:
                raise UnusableOperation(
                    f"it needs the security scheme {missing[0]!r}, which is not there"
                )
            schemes = ((str(name), tuple(map(str, scopes or ()))) for name, scopes in one.items())
            ways.append(Requirement(tuple(schemes)))
        return tuple(ways)

    def _accepts(self, operation: Mapping[str, Any]) -> tuple[str, ...]:
        kinds: dict[str, None] = {}
        responses = operation.get("responses")
        for status, raw in responses.items() if isinstance(responses, Mapping) else ():
            if not str(status).startswith("2"):
                continue
            try:
                response = self._document.followed(raw)
            except UnusableOperation:
                continue  # what it answers is read as it comes
            content = response.get("content") if isinstance(response, Mapping) else None
            kinds.update(dict.fromkeys(content if isinstance(content, Mapping) else ()))
        found = sorted(map(str, kinds), key=lambda kind: not is_json(kind))
        return (*found, "*/*;q=0.1") if found else ("*/*",)

    def _description(self, method: str, path: str, operation: Mapping[str, Any]) -> str:
        """Its words, and whose they are: a model is not to take them for the operator's."""
        said = [str(operation.get(key) or "").strip() for key in ("summary", "description")]
        text = "\n".join(dict.fromkeys(part for part in said if part)) or f"{method} {path}"
        head = f"Operation of the API {self._prefix}: " if self._prefix else ""
        return head + clean(text, MOST_DESCRIPTION)

    def _named(self, method: str, path: str, operation: Mapping[str, Any]) -> str:
        base = str(operation.get("operationId") or f"{method.lower()}_{path.strip('/')}")
        whole = f"{self._prefix}_{base}" if self._prefix else base
        plain = _NO_NAME.sub("_", whole).strip("_") or "operation"
        plain = plain if plain[0].isalpha() else f"op_{plain}"
        name = _shortened(plain)
        number = 2
        while name in self._names:
            name, number = f"{_shortened(plain, _NAME_LENGTH - 4)}_{number}", number + 1
        self._names.add(name)
        return name


def _shortened(name: str, length: int = _NAME_LENGTH) -> str:
    """Without its middle: the beginning says which API it is of, and the end what it does."""
    if len(name) <= length:
        return name
    head = length // 3
    return f"{name[:head]}__{name[-(length - head - 2) :]}"


def _listed(holder: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = holder.get(key)
    return value if isinstance(value, list) else ()


def _validated(model: Any, raw: Any) -> None:
    try:
        model.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        what = model.__name__.lower()
        raise UnusableOperation(
            f"its {what} is not as OpenAPI has it: {place}: {first['msg']}"
        ) from None
