"""HTTP endpoints that describe themselves: what serves them and their OpenAPI document are made
from the same descriptions."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from codin.errors import InvalidInputError

Json = dict[str, Any]
B = TypeVar("B", bound=BaseModel)

_REF = "#/components/schemas/{model}"
_PART = re.compile(r"{(\w+)(:path)?}")


class ErrorDetail(BaseModel):
    """``code`` for programs, ``message`` for people."""

    code: str
    message: str


class ErrorAnswer(BaseModel):
    """What every error of the API looks like."""

    error: ErrorDetail


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose body, query and headers have been read into what its endpoint declares."""

    request: Request
    body: Any = None
    query: Any = None
    headers: Any = None

    @property
    def id(self) -> str:
        """The id in the path."""
        found: str = self.request.path_params["id"]
        return found


@dataclass(frozen=True, slots=True)
class Media:
    """An answer that is no JSON of a model. ``kind`` is its media type."""

    kind: str
    schema: str = ""
    """Name of a schema of the document, if it has one."""


ERRORS = {
    400: "What was sent cannot be used; the message says which part.",
    401: "Who calls? Show a key or a token.",
    403: "The caller may not.",
    404: "There is no such thing for the caller.",
    409: "It cannot be done as things stand.",
    413: "The body is larger than is allowed.",
    429: "The caller takes as much as it may; Retry-After says when to try again.",
    503: "Not at the moment.",
}
_ALWAYS = (401, 403, 429, 503)


SchemaOf = Callable[[type[BaseModel], JsonSchemaMode | Literal["inline"]], Json]
"""Gives the schema of a model that is read or written, by reference; or as it is, in place."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation: ``answers`` is asked what it answers with ``status``, a model of the type
    ``gives`` or a response of that media type. ``body``, ``query`` and ``headers`` are read before
    that; what is wrong in them is answered with 400. ``errors`` are those of its own."""

    method: str
    path: str
    answers: Callable[[Call], Awaitable[BaseModel | Response]]
    summary: str
    gives: type[BaseModel] | Media
    status: int = 200
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    headers: type[BaseModel] | None = None
    errors: Sequence[int] = ()

    def route(self) -> Route:
        """What serves it."""
        return Route(self.path, self._serve, methods=[self.method])

    async def _serve(self, request: Request) -> Response:
        body = _body(self.body, await request.body()) if self.body else None
        query = _fields(self.query, dict(request.query_params)) if self.query else None
        headers = _fields(self.headers, dict(request.headers)) if self.headers else None
        found = await self.answers(Call(request, body, query, headers))
        if isinstance(found, Response):
            return found
        assert isinstance(self.gives, type)
        assert isinstance(found, self.gives)
        return JSONResponse(found.model_dump(mode="json"), self.status)

    @property
    def models(self) -> list[tuple[type[BaseModel], JsonSchemaMode]]:
        """The models in it, and whether each is read or written."""
        found: list[tuple[type[BaseModel], JsonSchemaMode]] = [
            (one, "validation") for one in (self.body, self.query, self.headers) if one
        ]
        if isinstance(self.gives, type):
            found.append((self.gives, "serialization"))
        return found

    def described(self, schemas: SchemaOf) -> Json:
        """The operation as OpenAPI has it; ``schemas`` gives the schema of a model."""
        found: Json = {
            "operationId": self.answers.__name__,
            "summary": self.summary,
            "parameters": [*self._path_parameters(), *self._parameters(schemas)],
            "responses": {str(self.status): self._answer(schemas), **self._refusals(schemas)},
        }
        if self.body is not None:
            content = {"application/json": {"schema": schemas(self.body, "validation")}}
            found["requestBody"] = {"required": True, "content": content}
        return found

    def _path_parameters(self) -> Iterable[Json]:
        for name, _ in _PART.findall(self.path):
            schema = {"type": "string", "minLength": 1}
            yield {"name": name, "in": "path", "required": True, "schema": schema}

    def _parameters(self, schemas: SchemaOf) -> Iterable[Json]:
        for model, place in ((self.query, "query"), (self.headers, "header")):
            properties = schemas(model, "inline")["properties"] if model else {}
            for name, schema in properties.items():
                yield {"name": name, "in": place, "schema": schema}

    def _answer(self, schemas: SchemaOf) -> Json:
        if isinstance(self.gives, Media):
            reference = {"$ref": _REF.format(model=self.gives.schema)}
            content = {self.gives.kind: {"schema": reference} if self.gives.schema else {}}
        else:
            content = {"application/json": {"schema": schemas(self.gives, "serialization")}}
        return {"description": self.summary, "content": content}

    def _refusals(self, schemas: SchemaOf) -> Json:
        own = {400} if self.query or self.headers else set()
        own |= {400, 413} if self.body else set()
        content = {"application/json": {"schema": schemas(ErrorAnswer, "serialization")}}
        return {
            str(code): {"description": ERRORS[code], "content": content}
            for code in sorted({*own, *self.errors, *_ALWAYS})
        }


def document(
    endpoints: Sequence[Endpoint], *, title: str, version: str, schemas: dict[str, Json]
) -> Json:
    """The OpenAPI document of ``endpoints``; ``schemas`` are those that no model has."""
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ErrorAnswer, "serialization")]
    for endpoint in endpoints:
        wanted += [(model, mode) for model, mode in endpoint.models if (model, mode) not in wanted]
    references, definitions = models_json_schema(wanted, ref_template=_REF)

    def schema_of(model: type[BaseModel], mode: JsonSchemaMode | Literal["inline"]) -> Json:
        if mode != "inline":
            return references[(model, mode)]
        named: str = references[(model, "validation")]["$ref"]
        found: Json = definitions["$defs"][named.rpartition("/")[2]]
        return found

    paths: dict[str, Json] = {}
    for endpoint in endpoints:
        operations = paths.setdefault(_PART.sub(r"{\1}", endpoint.path), {})
        operations[endpoint.method.lower()] = endpoint.described(schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "license": {"name": "Apache-2.0"}},
        "security": [{}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": {**definitions["$defs"], **schemas},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


class Parameters(BaseModel):
    """Base of models for queries and headers; what they do not name is nobody's business."""

    model_config = ConfigDict(extra="ignore", populate_by_name=False)


def _fields(kind: type[B], given: dict[str, str]) -> B:
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise InvalidInputError(_explained(error)) from None


def _body(kind: type[B], body: bytes) -> B:
    try:
        return kind.model_validate(json.loads(body.decode()))
    except ValidationError as error:
        raise InvalidInputError(_explained(error)) from None
    except (ValueError, RecursionError):
        wanted = json.dumps(dict.fromkeys(kind.model_fields, "..."))
        raise InvalidInputError(f"the body is no JSON: send one like {wanted}") from None


def _explained(error: ValidationError) -> str:
    found = error.errors()[0]
    where = ".".join(str(part) for part in found["loc"]) or "the body"
    return f"{where}: {found['msg']}"
