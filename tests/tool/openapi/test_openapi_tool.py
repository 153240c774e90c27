"""Operations called through the executor, at a real server."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from tool_house import House

from codin.security import OutgoingGuard
from codin.security.credentials import ApiKey, Basic, Bearer, ClientCredentials, Credential
from codin.security.secrets import SecretRef
from codin.testing.a2a_server import listening
from codin.tool.openapi import OpenApiError, OpenApiSource

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

LOOPBACK = OutgoingGuard(["127.0.0.1/32"])


class Api:
    """A server whose answers a test gives, and that keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.bodies: list[bytes] = []
        self.answers: list[Response] = []

    async def answer(self, request: Request) -> Response:
        self.requests.append(request)
        self.bodies.append(await request.body())
        if self.answers:
            return self.answers.pop(0)
        return JSONResponse({"path": request.url.path, "query": dict(request.query_params)})


async def hanging(request: Request) -> Response:
    await asyncio.sleep(60)
    return Response()


SCHEMES = {
    "key": {"type": "apiKey", "in": "query", "name": "api_key"},
    "crumb": {"type": "apiKey", "in": "cookie", "name": "crumb"},
    "head": {"type": "apiKey", "in": "header", "name": "X-Key"},
    "basic": {"type": "http", "scheme": "basic"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "oauth": {
        "type": "oauth2",
        "flows": {"clientCredentials": {"tokenUrl": "/token", "scopes": {"read": "x"}}},
    },
}


def operation(name: str, **more: Any) -> dict[str, Any]:
    return {"operationId": name, "responses": {}, **more}


def query(name: str, kind: str = "string") -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": kind}}


PAGED = [
    query("page", "integer"),
    query("per_page", "integer"),
    query("cursor"),
    query("starting_after"),
]
FORM = {
    "type": "object",
    "properties": {"file": {"type": "string", "format": "binary"}, "note": {"type": "string"}},
    "required": ["file"],
}
PATHS: dict[str, Any] = {
    "/items/{id}": {
        "parameters": [
            {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
        ],
        "get": operation("get", tags=["reading"]),
        "post": operation("post"),
    },
    "/pages": {"get": operation("pages", parameters=PAGED)},
    "/upload": {
        "post": operation(
            "upload", requestBody={"content": {"multipart/form-data": {"schema": FORM}}}
        )
    },
    "/hang": {"get": operation("hang")},
    **{
        f"/in/{name}": {
            "get": operation(f"in_{name}", security=[{name: ["read"] * (name == "oauth")}])
        }
        for name in SCHEMES
    },
    "/either": {"get": operation("either", security=[{"key": [], "head": []}, {"bearer": []}, {}])},
    "/bad": {"get": "words"},
}


def written(folder: Path, url: str, **more: Any) -> Path:
    schemes = json.loads(json.dumps(SCHEMES).replace("/token", f"{url}/token"))
    file = folder / "api.json"
    document = {
        "openapi": "3.0.3",
        "info": {"title": "T", "version": "1"},
        "servers": [{"url": url}],
        "paths": PATHS,
        "components": {"securitySchemes": schemes},
    }
    file.write_text(json.dumps(document | more))
    return file


@pytest.fixture
def api() -> Api:
    return Api()


@pytest_asyncio.fixture(loop_scope="module")
async def place(api: Api, house: House, tmp_path: Path) -> AsyncIterator[Place]:
    routes = [Route("/hang", hanging), Route("/{path:path}", api.answer, methods=["GET", "POST"])]
    async with listening(Starlette(routes=routes)) as url:
        yield Place(api, house, tmp_path, url)


class Place:
    def __init__(self, api: Api, house: House, folder: Path, url: str) -> None:
        self.api, self.house, self.folder, self.url = api, house, folder, url

    @asynccontextmanager
    async def opened(
        self, credentials: Mapping[str, Credential] | None = None, **options: Any
    ) -> AsyncIterator[OpenApiSource]:
        """The API's tools in the house's registry."""
        options = {"guard": LOOPBACK, **options}
        file = written(self.folder, self.url)
        source = OpenApiSource("api", file, credentials=credentials, **options)
        tools = await source.open()
        for tool in tools:
            self.house.registry.register(tool)
        try:
            yield source
        finally:
            for tool in tools:
                self.house.registry.unregister(tool.name)
            await source.aclose()


async def test_an_operation_is_called(place: Place) -> None:
    async with place.opened() as source:
        outcome = await place.house.call("api_get", id="a b")
        assert outcome.value == {"path": "/items/a b", "query": {}}
        assert source.problems == ["api: GET /bad: it is no object"]
        spec = next(
            tool.spec
            for tool in place.house.registry.list(place.house.grant().principal)
            if tool.spec.name == "api_get"
        )
        assert (spec.origin, spec.effects, spec.tags) == ("openapi", "none", ("api", "reading"))


async def test_wrong_arguments_are_named_before_anything_is_sent(place: Place) -> None:
    async with place.opened():
        outcome = await place.house.call("api_get")
        assert "argument 'id' is missing" in outcome.text
        outcome = await place.house.call("api_get", id="..")
        assert outcome.text == "api_get: 'id' must not be '..': it would lead to another path"
        assert outcome.error_type == "InvalidArguments"
        assert place.api.requests == []


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (JSONResponse({"error": "no such item"}, 404), 'answered 404: {"error":"no such item"}'),
        (PlainTextResponse("{", media_type="application/json"), "the answer is not JSON"),
        (RedirectResponse("http://elsewhere.test/"), "leads elsewhere and is not followed"),
        (PlainTextResponse("x" * 20_000_000), "answered more than 16,777,216 bytes"),
    ],
)
async def test_what_an_api_refuses_is_told(place: Place, answer: Response, told: str) -> None:
    place.api.answers = [answer]
    async with place.opened():
        outcome = await place.house.call("api_post", id="1")
        assert outcome.is_error
        assert told in outcome.text
        assert len(place.api.requests) == 1


async def test_what_is_idempotent_is_tried_again(place: Place) -> None:
    busy = [PlainTextResponse("busy", 503), PlainTextResponse("slow", 429, {"retry-after": "1"})]
    place.api.answers = [*busy]
    async with place.opened():
        began = time.monotonic()
        assert not (await place.house.call("api_get", id="1")).is_error
        assert time.monotonic() - began >= 1
        place.api.answers = [PlainTextResponse("busy", 503)] * 3
        assert "answered 503: busy" in (await place.house.call("api_get", id="1")).text
        place.api.answers = [*busy]
        seen = len(place.api.requests)
        assert "answered 503" in (await place.house.call("api_post", id="1")).text
        assert len(place.api.requests) == seen + 1


async def test_a_call_that_changes_something_can_be_told_from_another(place: Place) -> None:
    async with place.opened():
        grant = place.house.grant()
        for name in ("api_post", "api_post", "api_get"):
            await place.house.executor.call(grant, name, {"id": "1"})
        place.house.expires_at += 1
        await place.house.call("api_post", id="1")
    keys = [request.headers.get("idempotency-key") for request in place.api.requests]
    assert keys[0].startswith("codin:task-1:0:api_post:")
    assert keys[0] != keys[1]
    assert keys[2] is None, "what changes nothing may be sent as often as one likes"
    assert keys[3] == keys[0], "the first call of the run that comes after a crash"


async def test_a_server_that_is_not_there(place: Place) -> None:
    async with place.opened(server="http://127.0.0.1:9"):
        outcome = await place.house.call("api_get", id="1")
        assert "api_get: 127.0.0.1 cannot be reached" in outcome.text
        assert outcome.error_type == "ToolUnavailable"


async def test_addresses_that_are_not_public_are_not_connected_to(place: Place) -> None:
    async with place.opened(guard=OutgoingGuard()):
        outcome = await place.house.call("api_get", id="1")
        assert "leads to an address that is not public" in outcome.text
        assert place.api.requests == []


async def test_a_call_that_is_cancelled_ends(place: Place) -> None:
    async with place.opened():
        calling = asyncio.ensure_future(place.house.call("api_hang"))
        await asyncio.sleep(0.3)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(calling, 2)
        assert place.house.recorder.ended[-1].error_type == "Canceled"


async def test_files_go_out_and_come_back(place: Place) -> None:
    async with place.opened():
        made = await place.house.python("open('in.bin', 'wb').write(bytes(range(256)))")
        assert not made.is_error
        await place.house.call("api_upload", body={"file": {"path": "in.bin"}, "note": "n"})
        assert bytes(range(256)) in place.api.bodies[-1]
        assert b'filename="in.bin"' in place.api.bodies[-1]
        missing = await place.house.call("api_upload", body={"file": {"path": "no.bin"}})
        assert "the file 'no.bin'" in missing.text
        outside = await place.house.call("api_upload", body={"file": {"path": "/etc/passwd"}})
        assert outside.is_error
        assert len(place.api.requests) == 1
        place.api.answers = [Response(b"\x89PNG\x00", media_type="image/png")]
        answer = (await place.house.call("api_get", id="1")).value
        assert (answer["media_type"], answer["bytes"]) == ("image/png", 5)
        read = await place.house.python(f"print(open({answer['file']!r}, 'rb').read())")
        assert "PNG" in read.text


CREDENTIALS: dict[str, Credential] = {
    "key": ApiKey(value=SecretRef(env="API_SECRET")),
    "crumb": ApiKey(value=SecretRef(env="API_SECRET")),
    "head": ApiKey(value=SecretRef(env="API_SECRET")),
    "basic": Basic(username="me", password=SecretRef(env="API_SECRET")),
    "bearer": Bearer(token=SecretRef(env="API_SECRET")),
    "oauth": ClientCredentials(client_id="client", client_secret=SecretRef(env="API_SECRET")),
}


async def test_each_scheme(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_SECRET", "s3cret-value")
    async with place.opened(CREDENTIALS):
        for name in ("key", "crumb", "head", "basic", "bearer"):
            assert not (await place.house.call(f"api_in_{name}")).is_error, name
        key, crumb, head, basic, bearer = place.api.requests
        assert key.query_params["api_key"] == "s3cret-value"
        assert crumb.cookies["crumb"] == "s3cret-value"
        assert head.headers["x-key"] == "s3cret-value"
        assert b64decode(basic.headers["authorization"].split()[1]) == b"me:s3cret-value"
        assert bearer.headers["authorization"] == "Bearer s3cret-value"


async def test_the_first_way_that_there_are_credentials_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_SECRET", "s3cret-value")
    async with place.opened({"bearer": CREDENTIALS["bearer"], "key": CREDENTIALS["key"]}):
        assert not (await place.house.call("api_either")).is_error
        assert place.api.requests[-1].headers["authorization"] == "Bearer s3cret-value"
        assert "api_key" not in place.api.requests[-1].query_params


async def test_without_credentials_it_says_where_they_go(place: Place) -> None:
    async with place.opened():
        outcome = await place.house.call("api_in_oauth")
        assert "[openapi.api.credentials.oauth] to codin.toml" in outcome.text
        assert not (await place.house.call("api_either")).is_error
    async with place.opened({"none": CREDENTIALS["key"], "basic": CREDENTIALS["key"]}) as source:
        assert "has no such scheme; it has: key, crumb" in source.problems[0]
        assert "api_key does not fit the scheme, which is http basic" in source.problems[1]


async def test_a_secret_that_is_not_there(place: Place) -> None:
    async with place.opened(CREDENTIALS):
        outcome = await place.house.call("api_in_bearer")
        assert "there is no secret in the environment variable API_SECRET" in outcome.text


async def test_secrets_are_seen_nowhere(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_SECRET", "s3cret-value")
    async with place.opened(CREDENTIALS):
        place.api.answers = [
            JSONResponse({"you": "sent s3cret-value"}),
            PlainTextResponse("bad key s3cret-value", 403),
        ]
        for _ in range(2):
            outcome = await place.house.call("api_in_head")
            assert "[secret]" in outcome.text
            assert "s3cret-value" not in outcome.text + repr(place.house.recorder.ended)


async def test_secrets_are_hidden_however_they_are_said_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = 's3cret/"value"'
    monkeypatch.setenv("API_SECRET", secret)
    said = ["s3cret%2F%22value%22", 's3cret\\/\\"value\\"', r"s3cret\u002f\"value\""]
    async with place.opened(CREDENTIALS):
        place.api.answers = [
            *(Response(f'{{"you": "sent {one}"}}', media_type="application/json") for one in said),
            PlainTextResponse(f"bad key {said[0]}", 403),
            Response(f"\x00{said[0]}", media_type="image/png"),
        ]
        for _ in said:
            outcome = await place.house.call("api_in_key")
            assert outcome.value == {"you": "sent [secret]"}
        assert (await place.house.call("api_in_key")).text.endswith("bad key [secret]")
        kept = (await place.house.call("api_in_key")).value["file"]
        read = await place.house.python(f"print(open({kept!r}, 'rb').read())")
        assert "b'\\x00[secret]'" in read.text
        assert "s3cret" not in repr(place.house.recorder.ended)


async def test_tokens_are_fetched_once_and_again_when_they_are_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_SECRET", "s3cret-value")
    token = JSONResponse({"access_token": "first-token", "expires_in": 3600})
    place.api.answers = [token, JSONResponse(1), JSONResponse(2)]
    async with place.opened(CREDENTIALS):
        for value in (1, 2):
            assert (await place.house.call("api_in_oauth")).value == value
        asked = [request.url.path for request in place.api.requests]
        assert asked == ["/token", "/in/oauth", "/in/oauth"]
        assert place.api.bodies[0] == b"grant_type=client_credentials&scope=read"
        place.api.answers = [
            PlainTextResponse("expired", 401),
            JSONResponse({"access_token": "second-token"}),
            JSONResponse(3),
        ]
        assert (await place.house.call("api_in_oauth")).value == 3
        assert place.api.requests[-1].headers["authorization"] == "Bearer second-token"
        place.api.answers = [PlainTextResponse("no", 401), JSONResponse({"error": "bad"}, 400)]
        outcome = await place.house.call("api_in_oauth")
        assert "gives no token (status 400)" in outcome.text


async def test_pages_by_links(place: Place) -> None:
    def page(number: int, *, last: bool = False) -> Response:
        link = f'<{place.url}/pages?page={number + 1}&evil=1>; rel="next"'
        return JSONResponse([number], headers={} if last else {"link": link})

    async with place.opened():
        place.api.answers = [page(1)]
        outcome = await place.house.call("api_pages", per_page=1)
        assert outcome.value == {"result": [1], "next": {"per_page": 1, "page": 2}}
        place.api.answers = [page(1), page(2), page(3, last=True)]
        outcome = await place.house.call("api_pages", per_page=1, max_pages=10)
        assert outcome.value == {"result": [1, 2, 3], "pages": 3}
        place.api.answers = [page(1), page(2)]
        outcome = await place.house.call("api_pages", max_pages=2)
        assert outcome.value == {"result": [1, 2], "pages": 2, "next": {"page": 3}}


async def test_pages_by_cursors(place: Place) -> None:
    async with place.opened():
        place.api.answers = [
            JSONResponse({"items": ["a"], "response_metadata": {"next_cursor": "c1"}}),
            JSONResponse({"items": ["b"], "response_metadata": {"next_cursor": ""}}),
        ]
        outcome = await place.house.call("api_pages", max_pages=5)
        assert outcome.value == {"result": ["a", "b"], "pages": 2}
        assert place.api.requests[-1].query_params["cursor"] == "c1"
        place.api.answers = [
            JSONResponse({"data": [{"id": "x1"}], "has_more": True}),
            JSONResponse({"data": [{"id": "x2"}], "has_more": False}),
        ]
        outcome = await place.house.call("api_pages", max_pages=5)
        assert outcome.value["result"] == [{"id": "x1"}, {"id": "x2"}]
        assert place.api.requests[-1].query_params["starting_after"] == "x1"


async def test_only_what_is_wanted(place: Place) -> None:
    async with place.opened(operations=["reading", "GET /pages", "in_*"]) as source:
        names = [tool.spec.name for tool in await source.open()]
        assert names[:2] == ["api_get", "api_pages"]
        assert len(names) == 2 + len(SCHEMES)
        await source.aclose()
    with pytest.raises(OpenApiError, match="none of its operations is among nothing"):
        async with place.opened(operations=["nothing"]):
            pass
