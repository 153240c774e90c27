"""Documents that can be read, and those that cannot."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from codin.security import OutgoingGuard
from codin.security.errors import OutgoingRefused
from codin.testing.a2a_server import listening
from codin.tool.openapi import OpenApiError, read_document
from codin.tool.openapi import document as document_module
from codin.tool.openapi.document import parsed
from codin.tool.openapi.errors import UnusableOperation

SMALL = b'{"openapi": "3.0.3", "info": {"title": "Small"}, "paths": {}}'


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "is not JSON"),
        (b"[1]", "is no OpenAPI document"),
        (b"a: [", "is not YAML"),
        (b"just words", "is no OpenAPI document"),
        (b'{"swagger": "2.0"}', "is Swagger 2.0; .* convert it"),
        (b'{"openapi": "4.0"}', "'openapi' is '4.0'"),
        (b'{"info": {}}', "there is no 'openapi' in it"),
        (b"[" * 100_000, "nested more than 300 deep"),
        (b"- " * 100_000, "nested more than 300 deep"),
        (b'{"a":' * 100_000, "is not JSON"),
        (b"\xff\xfe\x00", "is not YAML|is no OpenAPI"),
    ],
)
def test_what_is_no_document(content: bytes, told: str) -> None:
    with pytest.raises(OpenApiError, match=told) as caught:
        parsed(content, "api.json")
    assert str(caught.value).startswith("api.json: ")


def test_yaml_that_grows_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_module, "_MAX_NODES", 100_000)
    layers = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(OpenApiError, match="endless"):
        parsed("\n".join(["openapi: 3.0.0", "a0: &a0 [x]", *layers]).encode(), "bomb.yaml")
    with pytest.raises(OpenApiError, match="endless"):
        parsed(b"openapi: 3.0.0\npaths: &a\n  again: *a\n", "circle.yaml")


@pytest.mark.parametrize("values", [b"[],", b"{},", b"0,", b'{"a":[[[0]]]},'])
def test_json_that_would_be_far_larger_in_memory_is_refused(values: bytes) -> None:
    content = b'{"openapi": "3.0.0", "x": [' + values * 3_000_000 + b"0]}"
    begun = time.process_time()
    with pytest.raises(OpenApiError) as caught:
        parsed(content, "bomb.json")
    told = "bomb.json: has more than 3,000,000 values; give the part that is needed"
    assert str(caught.value) == told
    assert time.process_time() - begun < 1


def test_yaml_that_would_be_far_larger_in_memory_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(document_module, "_MAX_YAML_NODES", 1_000)
    with pytest.raises(OpenApiError) as caught:
        parsed(b"openapi: 3.0.0\nx: [" + b"0," * 2_000 + b"0]\n", "bomb.yaml")
    assert str(caught.value) == (
        "bomb.yaml: has more than 1,000 values, which is too much for YAML; give it as JSON, such "
        "as by `npx @redocly/cli bundle --ext json`"
    )


async def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "api.yaml"
    file.write_text("openapi: 3.1.0\ninfo: {title: Small}\npaths: {}\n")
    document = await read_document(file)
    assert (document.version, document.title, document.source) == ("3.1", "Small", str(file))
    with pytest.raises(OpenApiError, match="is larger than 10 bytes"):
        await read_document(file, most_bytes=10)
    with pytest.raises(OpenApiError, match="cannot be read: No such file"):
        await read_document(tmp_path / "missing.json")


async def test_an_address() -> None:
    async def small(request: Request) -> Response:
        return PlainTextResponse(SMALL)

    async def elsewhere(request: Request) -> Response:
        return RedirectResponse("http://169.254.169.254/latest")

    routes = [Route("/api.json", small), Route("/away", elsewhere)]
    async with listening(Starlette(routes=routes)) as url:
        guard = OutgoingGuard(["127.0.0.1/32"])
        document = await read_document(f"{url}/api.json", guard)
        assert document.title == "Small"
        assert document.address("/v1") == f"{url}/v1"
        with pytest.raises(OpenApiError, match="larger than 20 bytes"):
            await read_document(f"{url}/api.json", guard, most_bytes=20)
        with pytest.raises(OpenApiError, match="answered 404"):
            await read_document(f"{url}/other.json", guard)
        with pytest.raises(OutgoingRefused):
            await read_document(f"{url}/api.json")
        with pytest.raises(OutgoingRefused):
            await read_document(f"{url}/away", guard)


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("#/components/schemas/None", "which is not there"),
        ("other.yaml#/a", "refers to another document"),
        ("#/a", "in a circle"),
        ("#/list/7", "which is not there"),
    ],
)
def test_references_that_lead_nowhere(reference: str, told: str) -> None:
    raw = {"openapi": "3.0.0", "a": {"$ref": "#/b"}, "b": {"$ref": "#/a"}, "list": [1]}
    document = parsed(json.dumps(raw).encode(), "x.json")
    with pytest.raises(UnusableOperation, match=told):
        document.followed({"$ref": reference})


def test_references_are_pointers() -> None:
    raw = {"openapi": "3.0.0", "a/b": {"~": [{"x y": 5}]}}
    document = parsed(json.dumps(raw).encode(), "x.json")
    assert document.followed({"$ref": "#/a~1b/~0/0/x%20y"}) == 5
