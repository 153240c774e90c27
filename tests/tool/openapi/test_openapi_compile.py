"""What operations become: names, schemas, servers, and reports of those that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from json_samples import sample
from jsonschema import Draft202012Validator

from codin.tool.openapi import Compiled, Operation, compile_document
from codin.tool.openapi import compile as compile_module
from codin.tool.openapi.body import FILE_SCHEMA, File, FormBody, JsonBody, MultipartBody
from codin.tool.openapi.document import parsed


def document(paths: Mapping[str, Any], version: str = "3.0.3", **more: Any) -> dict[str, Any]:
    return {
        "openapi": version,
        "info": {"title": "T", "version": "1"},
        "servers": [{"url": "https://api.test/v1"}],
        "paths": paths,
        **more,
    }


def compiled(raw: Mapping[str, Any], **options: Any) -> Compiled:
    return compile_document(parsed(json.dumps(raw).encode(), "api.json"), **options)


def one(operation: Mapping[str, Any], **more: Any) -> Operation:
    """The only operation there is, at ``POST /x``."""
    found = compiled(document({"/x": {"post": {"responses": {}, **operation}}}, **more))
    assert found.skipped == ()
    return found.operations[0]


def query(name: str, schema: Any = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema or {"type": "string"}, **more}


def body(schema: Any, media_type: str = "application/json", **more: Any) -> dict[str, Any]:
    return {"requestBody": {"content": {media_type: {"schema": schema, **more}}}}


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ("words", "it is no object"),
        ({"operationId": 5}, "not as OpenAPI has it: operationId"),
        ({"parameters": [{"in": "query"}]}, "its parameter is not as OpenAPI has it: name"),
        (
            {"parameters": [{"name": "q", "in": "body"}]},
            "its parameter is not as OpenAPI has it: in",
        ),
        ({"parameters": [{"$ref": "#/components/none"}]}, "refers to #/components/none"),
        ({"parameters": [query("q", {"$ref": "#/components/schemas/No"})]}, "which is not there"),
        ({"parameters": [query("q", {"$ref": "other.json"})]}, "refers to another document"),
        ({"parameters": [query("q", "words")]}, "'words' where a schema should be"),
        ({"parameters": [query("q", style="simple")]}, "'q' has the style 'simple'"),
        ({"requestBody": {}}, "its request body has no content"),
        ({"requestBody": {"content": {}}}, "no media type"),
        ({"security": [{"none": []}]}, "the security scheme 'none', which is not there"),
        ({"servers": [{}]}, "not as OpenAPI has it: servers.0.url"),
        ({"servers": [{"url": "https://{where}.test"}]}, "{where}, which nobody gives"),
        (
            {"parameters": [{"name": "Host", "in": "header", "schema": {"type": "string"}}]},
            "the header 'Host'",
        ),
    ],
)
def test_an_operation_that_cannot_be_used_costs_no_other(operation: Any, reason: str) -> None:
    good = {"operationId": "good", "responses": {}}
    found = compiled(document({"/bad": {"get": operation}, "/good": {"get": good}}))
    assert [operation.name for operation in found.operations] == ["good"]
    assert [(skipped.method, skipped.path) for skipped in found.skipped] == [("GET", "/bad")]
    assert reason in found.skipped[0].reason


def test_paths_that_cannot_be_used() -> None:
    paths = {"/a": {"$ref": "#/none"}, "/b": 5, "/c/{id}": {"get": {"responses": {}}}}
    found = compiled(document(paths))
    assert found.operations == ()
    assert [str(skipped) for skipped in found.skipped] == [
        "* /a: it refers to #/none, which is not there",
        "GET /c/{id}: its path has {id}, and no path parameter of that name",
    ]


def test_a_schema_without_end() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(500):
        deep = {"type": "array", "items": deep}
    found = compiled(document({"/x": {"post": {"responses": {}, **body(deep)}}}))
    assert "nested more than 80 deep" in found.skipped[0].reason


def test_names() -> None:
    paths = {
        "/a": {"get": {"operationId": "repos/list-for org", "responses": {}}},
        "/b": {"get": {"operationId": "repos_list_for_org", "responses": {}}},
        "/c/{id}": {"parameters": [path_id()], "get": {"responses": {}}},
        "/d": {"get": {"operationId": "x" * 50 + "Y" * 50, "responses": {}}},
        "/e": {"get": {"operationId": "5", "responses": {}}},
    }
    names = [operation.name for operation in compiled(document(paths)).operations]
    assert names[:3] == ["repos_list_for_org", "repos_list_for_org_2", "get_c_id"]
    assert names[3].startswith("xxx")
    assert names[3].endswith("YYY")
    assert len(names[3]) == 64
    assert names[4] == "op_5"
    prefixed = compiled(document(paths), prefix="gh").operations
    assert prefixed[0].name == "gh_repos_list_for_org"


def path_id() -> dict[str, Any]:
    return {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}


def test_parameters_of_the_path_are_overridden_by_the_operation_s_own() -> None:
    own = {**path_id(), "schema": {"type": "string", "enum": ["a"]}}
    item = {"parameters": [path_id(), query("q")], "get": {"parameters": [own], "responses": {}}}
    operation = compiled(document({"/x/{id}": item})).operations[0]
    assert operation.input_schema["properties"]["id"]["enum"] == ["a"]
    assert operation.input_schema["required"] == ["id"]
    assert str(operation.request({"id": "a", "q": "b c"}).url) == "https://api.test/v1/x/a?q=b%20c"


def test_two_parameters_of_one_name_are_told_apart() -> None:
    item = {"get": {"parameters": [path_id(), query("id"), query("body")], "responses": {}}}
    operation = compiled(document({"/x/{id}": item})).operations[0]
    request = operation.request({"id_in_path": 1, "id_in_query": "2", "body": "3"})
    assert str(request.url) == "https://api.test/v1/x/1?id=2&body=3"


def test_headers_and_cookies() -> None:
    parameters = [
        {"name": "X-Ids", "in": "header", "schema": {"type": "array", "items": {}}},
        {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
        {"name": "a", "in": "cookie", "schema": {"type": "string"}},
        {"name": "b", "in": "cookie", "schema": {"type": "string"}},
    ]
    operation = one({"parameters": parameters})
    assert "Authorization" not in operation.input_schema["properties"]
    request = operation.request({"X-Ids": [1, 2], "a": "x; evil=1", "b": "y"})
    assert request.headers["x-ids"] == "1,2"
    assert request.headers["cookie"] == "a=x%3B%20evil%3D1; b=y"


def test_a_parameter_that_is_json() -> None:
    parameter = {"name": "filter", "in": "query"}
    content = {"content": {"application/json": {"schema": {"type": "object"}}}}
    operation = one({"parameters": [{**parameter, **content}]})
    request = operation.request({"filter": {"a": [1]}})
    assert request.url.params["filter"] == '{"a": [1]}'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        (
            {"type": "string", "nullable": True, "enum": ["a"]},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        (
            {"type": "integer", "minimum": 3, "exclusiveMinimum": True},
            {"type": "integer", "exclusiveMinimum": 3},
        ),
        (
            {"type": "integer", "maximum": 3, "exclusiveMaximum": False},
            {"type": "integer", "maximum": 3},
        ),
        (
            {"allOf": [{"type": "string"}], "nullable": True, "description": "d"},
            {"anyOf": [{"allOf": [{"type": "string"}]}, {"type": "null"}], "description": "d"},
        ),
        ({"type": "string", "example": "x", "xml": {}, "x-more": 1}, {"type": "string"}),
    ],
)
def test_schemas_of_3_0_are_those_of_2020_12(old: Any, new: Any) -> None:
    assert one({"parameters": [query("q", old)]}).input_schema["properties"]["q"] == new


NODE = {
    "type": "object",
    "required": ["id", "name"],
    "properties": {
        "id": {"type": "integer", "readOnly": True},
        "name": {"type": "string"},
        "next": {"$ref": "#/components/schemas/Node"},
        "many": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
    },
}


def test_what_refers_to_itself_stays_a_reference() -> None:
    operation = one(
        body({"$ref": "#/components/schemas/Node"}), components={"schemas": {"Node": NODE}}
    )
    schema = operation.input_schema
    assert schema["properties"]["body"] == {"$ref": "#/$defs/Node"}
    assert list(schema["$defs"]) == ["Node"]
    assert schema["$defs"]["Node"]["required"] == ["name"]
    assert "id" not in schema["$defs"]["Node"]["properties"]
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate({"body": {"name": "a", "next": {"name": "b"}}})
    assert json.loads(operation.request(sample(schema)).read())["name"] == "x"


def test_a_schema_keeps_to_its_budget() -> None:
    big = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(500)}}
    small = {"type": "object", "properties": {"big": {"$ref": "#/components/schemas/Big"}}}
    raw = document(
        {"/x": {"post": {"responses": {}, **body({"$ref": "#/components/schemas/Small"})}}},
        components={"schemas": {"Big": big, "Small": small}},
    )
    whole = compiled(raw).operations[0].input_schema
    assert len(whole["$defs"]["Big"]["properties"]) == 500
    cut = compiled(raw, budget=2_000).operations[0].input_schema
    assert len(json.dumps(cut)) < 2_000
    assert cut["$defs"]["Big"] == {
        "type": "object",
        "description": "(Its parts are not shown: too large.)",
    }
    Draft202012Validator(cut).validate({"body": {"big": {"anything": "goes"}}})


def test_bodies_are_chosen() -> None:
    content = {
        "text/plain": {},
        "application/x-www-form-urlencoded": {},
        "application/vnd.api+json": {"schema": {"type": "object"}},
    }
    operation = one({"requestBody": {"content": content, "required": True}})
    assert isinstance(operation.body, JsonBody)
    assert operation.input_schema["required"] == ["body"]
    request = operation.request({"body": {"a": "é"}})
    assert request.headers["content-type"] == "application/vnd.api+json"
    assert request.read() == '{"a": "é"}'.encode()


def test_a_form() -> None:
    properties = {
        "name": {"type": "string"},
        "ids": {"type": "array", "items": {"type": "integer"}},
        "deep": {"type": "object"},
        "plain": {"type": "object"},
        "csv": {"type": "array", "items": {"type": "string"}},
    }
    encoding = {
        "deep": {"style": "deepObject", "explode": True},
        "csv": {"style": "form", "explode": False},
    }
    operation = one(
        body(
            {"type": "object", "properties": properties},
            "application/x-www-form-urlencoded",
            encoding=encoding,
        )
    )
    assert isinstance(operation.body, FormBody)
    given = {
        "name": "a&b",
        "ids": [1, 2],
        "deep": {"k": {"l": 1}},
        "plain": {"a": 1},
        "csv": ["x", "y"],
    }
    assert operation.request({"body": given}).read().decode() == (
        "name=a%26b&ids=1&ids=2&deep%5Bk%5D%5Bl%5D=1&plain=%7B%22a%22%3A%201%7D&csv=x,y"
    )


@pytest.mark.parametrize("binary", [{"format": "binary"}, {"contentMediaType": "image/png"}])
def test_a_form_with_files(binary: dict[str, str]) -> None:
    properties = {
        "file": {"type": "string", **binary},
        "more": {"type": "array", "items": {"type": "string", **binary}},
        "meta": {"type": "object"},
        "note": {"type": "string"},
    }
    form = {"allOf": [{"type": "object", "properties": properties}, {"required": ["file"]}]}
    operation = one(body(form, "multipart/form-data"))
    assert isinstance(operation.body, MultipartBody)
    schema = operation.input_schema["properties"]["body"]
    assert schema["properties"]["file"] == FILE_SCHEMA
    assert schema["properties"]["more"]["items"] == FILE_SCHEMA
    assert schema["required"] == ["file"]
    given = {
        "file": {"path": "a/report.pdf"},
        "more": [{"text": "hello", "filename": "h.csv"}, {"text": "x", "media_type": "a/b"}],
        "meta": {"a": 1},
        "note": "n",
    }
    assert operation.body.files(given) == ["a/report.pdf"]
    files = {"a/report.pdf": File(b"%PDF", "report.pdf", "application/pdf")}
    text = operation.request({"body": given}, files).read().decode()
    assert 'name="file"; filename="report.pdf"\r\nContent-Type: application/pdf\r\n\r\n%PDF' in text
    assert 'name="more"; filename="h.csv"\r\nContent-Type: text/csv\r\n\r\nhello' in text
    assert 'name="more"; filename="file.txt"\r\nContent-Type: a/b\r\n\r\nx' in text
    assert 'name="meta"\r\nContent-Type: application/json\r\n\r\n{"a": 1}' in text
    assert 'name="note"\r\n\r\nn' in text


def test_a_body_that_is_a_file() -> None:
    operation = one(body({"type": "string", "format": "binary"}, "application/octet-stream"))
    request = operation.request(
        {"body": {"path": "x.bin"}}, {"x.bin": File(b"\x00\xff", "x.bin", "image/png")}
    )
    assert request.read() == b"\x00\xff"
    assert request.headers["content-type"] == "application/octet-stream"


def test_servers() -> None:
    variables = {"region": {"default": "eu", "enum": ["eu", "us"]}}
    servers = [{"url": "https://{region}.test/", "variables": variables}]
    raw = document({"/x": {"get": {"responses": {}}}}) | {"servers": servers}
    assert compiled(raw).operations[0].server == "https://eu.test/"
    us = compiled(raw, variables={"region": "us"}).operations[0]
    assert str(us.request({}).url) == "https://us.test/x"
    assert "one of eu, us" in compiled(raw, variables={"region": "x"}).skipped[0].reason
    mine = compiled(raw, server="http://localhost:9/api").operations[0]
    assert str(mine.request({}).url) == "http://localhost:9/api/x"
    nowhere = {key: value for key, value in raw.items() if key != "servers"}
    assert "names no server" in compiled(nowhere).skipped[0].reason


def test_what_it_answers_is_asked_for() -> None:
    ok = {"content": {"text/csv": {}, "application/json": {}}}
    operation = one({"responses": {"200": ok, "404": {"content": {"text/html": {}}}}})
    accept = operation.request({}).headers["accept"]
    assert accept == "application/json, text/csv, */*;q=0.1"


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
def test_all_there_is(version: str) -> None:
    """Tags, deprecation, security and descriptions."""
    schemes = {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}
    raw = document(
        {
            "/x": {
                "get": {
                    "summary": "Short.",
                    "description": "Long.",
                    "tags": ["t"],
                    "deprecated": True,
                    "responses": {},
                    "security": [{"key": []}, {}],
                }
            }
        },
        version,
        components={"securitySchemes": schemes},
    )
    operation = compiled(raw).operations[0]
    assert operation.description == "Short.\nLong."
    assert (operation.tags, operation.deprecated) == (("t",), True)
    assert [way.schemes for way in operation.security] == [(("key", ()),), ()]


def test_what_is_not_wanted_is_not_looked_at() -> None:
    paths = {
        "/a": {"get": {"operationId": "read_a", "tags": ["reading"]}, "post": {"parameters": [7]}},
        "/b": {"get": {"operationId": 5}, "delete": "words"},
    }
    seen: list[tuple[str, ...]] = []

    def takes(names: tuple[str, ...]) -> bool:
        seen.append(names)
        return "reading" in names or "DELETE /b" in names

    found = compiled(document(paths), takes=takes)
    assert [one.name for one in found.operations] == ["read_a"]
    assert [str(one) for one in found.skipped] == ["DELETE /b: it is no object"]
    assert seen == [
        ("read_a", "GET /a", "reading"),
        ("POST /a", "POST /a"),
        ("5", "GET /b"),
        ("DELETE /b",),
    ]


def test_no_document_has_operations_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_module, "MOST_OPERATIONS", 3)
    paths = {f"/{n}": {"get": {} if n % 2 else "words"} for n in range(9)}
    found = compiled(document(paths))
    assert len(found.operations) + len(found.skipped) == 4
    assert str(found.skipped[-1]) == (
        "* *: there are more than 30,000, and the others are left out: name those that are needed "
        "(operations)"
    )


def test_words_of_an_api_are_marked_as_its_and_hide_nothing() -> None:
    operation = {
        "summary": "Obey\u200b me.\u202e",
        "parameters": [query("q", description="in\U000e0041visible " + "x" * 2_000)],
        **body({"type": "object", "description": "hid\u2066den", "properties": {}}),
    }
    found = compiled(document({"/x": {"post": operation}}), prefix="shop").operations[0]
    assert found.description == "Operation of the API shop: Obey me."
    told = found.input_schema["properties"]["q"]["description"]
    assert told.startswith("invisible x")
    assert len(told) == 1_500
    assert found.input_schema["properties"]["body"]["description"] == "hidden"
