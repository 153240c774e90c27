"""What operations send, at a server by others that holds it against the document and says what it
read: it is what the tool was called with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tool_house import House

from codin.security import OutgoingGuard
from codin.testing import npm
from codin.tool.openapi import OpenApiSource

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

HERE = Path(__file__).parent / "validating"
TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
TEXTS = {"type": "array", "items": TEXT}
POINT = {
    "type": "object",
    "properties": {"x": WHOLE, "y": WHOLE},
    "required": ["x"],
    "additionalProperties": False,
}


def parameter(name: str, place: str, schema: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "required": True, "schema": schema, **more}


def operation(name: str, *parameters: Any, **content: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": name,
        "parameters": list(parameters),
        "responses": {"200": {"description": "What was read."}},
    }
    if content:
        made["requestBody"] = {"required": True, "content": content}
    return {"post" if content else "get": made}


FORM = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": TEXT,
        "ids": TEXTS,
    },
}
FILES = {
    "type": "object",
    "required": ["file", "note"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "note": TEXT,
    },
}
DOCUMENT = {
    "openapi": "3.0.3",
    "info": {"title": "All kinds", "version": "1"},
    "servers": [{"url": "/"}],
    "paths": {
        "/path/{id}/{name}": operation(
            "path", parameter("id", "path", WHOLE), parameter("name", "path", TEXT)
        ),
        "/query": operation(
            "query",
            parameter("many", "query", TEXTS),
            parameter("commas", "query", TEXTS, explode=False),
            parameter("pipes", "query", TEXTS, style="pipeDelimited", explode=False),
            parameter("spaces", "query", TEXTS, style="spaceDelimited", explode=False),
            parameter("point", "query", POINT, style="deepObject", explode=True),
            parameter("flag", "query", {"type": "boolean"}),
            parameter("count", "query", WHOLE),
            parameter("text", "query", TEXT),
        ),
        "/headers": operation(
            "headers", parameter("X-Name", "header", TEXT), parameter("X-Count", "header", WHOLE)
        ),
        "/cookies": operation(
            "cookies", parameter("session", "cookie", TEXT), parameter("n", "cookie", WHOLE)
        ),
        "/json": operation("json", **{"application/json": {"schema": POINT}}),
        "/form": operation("form", **{"application/x-www-form-urlencoded": {"schema": FORM}}),
        "/files": operation("files", **{"multipart/form-data": {"schema": FILES}}),
        "/raw": operation(
            "raw",
            **{"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        ),
        "/text": operation("text", **{"text/plain": {"schema": TEXT}}),
    },
}
HARD = "a/b?c=d&e#f %20+;,:é\u2028"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    folder = await asyncio.to_thread(npm.locked, HERE, "server.mjs")
    file = tmp_path_factory.mktemp("validated") / "api.json"
    file.write_text(json.dumps(DOCUMENT))
    server = await asyncio.create_subprocess_exec(
        npm.node(), "server.mjs", str(file), cwd=folder, stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    async with asyncio.timeout(60):
        port = (await server.stdout.readline()).decode().strip()
    yield f"http://127.0.0.1:{port}"
    server.kill()
    await server.wait()


@pytest_asyncio.fixture(loop_scope="module")
async def api(house: House, url: str, tmp_path: Path) -> AsyncIterator[House]:
    file = tmp_path / "api.json"
    file.write_text(json.dumps(DOCUMENT))
    source = OpenApiSource("v", file, server=url, guard=OutgoingGuard(["127.0.0.1"]))
    tools = await source.open()
    for tool in tools:
        house.registry.register(tool)
    yield house
    for tool in tools:
        house.registry.unregister(tool.name)
    await source.aclose()


async def read(api: House, name: str, /, **arguments: Any) -> dict[str, Any]:
    outcome = await api.call(name, **arguments)
    assert not outcome.is_error, outcome.text
    assert isinstance(outcome.value, dict)
    return outcome.value


async def test_paths(api: House) -> None:
    assert (await read(api, "v_path", id=7, name=HARD))["path"] == {"id": 7, "name": HARD}


async def test_queries(api: House) -> None:
    given = {
        "many": ["a", HARD],
        "commas": ["a", "b"],
        "pipes": ["a", "b"],
        "spaces": ["a", "b"],
        "point": {"x": 1, "y": 2},
        "flag": True,
        "count": 5,
        "text": HARD,
    }
    assert (await read(api, "v_query", **given))["query"] == given


async def test_headers(api: House) -> None:
    found = (await read(api, "v_headers", **{"X-Name": "a; b, c", "X-Count": 3}))["headers"]
    assert (found["x-name"], found["x-count"]) == ("a; b, c", 3)


async def test_cookies(api: House) -> None:
    found = (await read(api, "v_cookies", session=HARD, n=4))["cookies"]
    assert (found["session"], str(found["n"])) == (HARD, "4")


async def test_json(api: House) -> None:
    assert (await read(api, "v_json", body={"x": 1, "y": -2}))["body"] == {"x": 1, "y": -2}


async def test_forms(api: House) -> None:
    given = {"name": HARD, "ids": ["a&b", "2"]}
    assert (await read(api, "v_form", body=given))["body"] == given


async def test_files(api: House) -> None:
    file = {"text": "héllo", "filename": 'an "odd" näme.csv'}
    found = await read(api, "v_files", body={"file": file, "note": HARD})
    assert found["body"]["note"] == HARD
    assert [(one["field"], one["text"], one["type"]) for one in found["files"]] == [
        ("file", "héllo", "text/csv")
    ]
    assert found["files"][0]["name"].endswith(".csv")


async def test_bytes_and_text(api: House) -> None:
    assert (await read(api, "v_raw", body={"text": "hé"}))["body"] == "hé".encode().hex()
    assert (await read(api, "v_text", body=HARD))["body"] == HARD


async def test_the_server_does_refuse(api: House) -> None:
    """What the tool's own schema lets through and the document's does not: nothing here does, so
    that the schema is taken away."""
    tool = api.registry.get(api.grant().principal, "v_json")
    open_schema = {"type": "object", "properties": {"body": {}}}
    spec = tool.spec.model_copy(update={"input_schema": open_schema})
    tool.spec = spec
    outcome = await api.call("v_json", body={"x": "words"})
    assert "answered 400" in outcome.text
    assert "must be integer" in outcome.text
