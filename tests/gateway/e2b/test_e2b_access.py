"""Who is let in to sandboxes, by keys and tokens, and what is written down of it."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2b import AuthenticationException, NotFoundException, Sandbox, SandboxException
from e2b_code_interpreter import Sandbox as Interpreter
from e2b_service import Service, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("guarded"), auth=True) as service:
        service.key = service.new_key("acme", "olga")
        yield service


@pytest.fixture(scope="module")
def owned(guarded: Service) -> Iterator[Interpreter]:
    with Interpreter.create(**guarded.options) as sandbox:
        yield sandbox


def with_key(service: Service, key: str) -> dict[str, Any]:
    return {**service.options, "api_key": key}


def call(service: Service, sandbox: Sandbox, path: str, **headers: str) -> httpx.Response:
    given = {"e2b-sandbox-id": sandbox.sandbox_id, "content-type": "application/json", **headers}
    given = {name.replace("_", "-"): value for name, value in given.items()}
    return httpx.post(f"{service.url}/e2b{path}", json={}, headers=given, trust_env=False)


def test_a_key_of_the_platform_opens_it(guarded: Service, owned: Interpreter) -> None:
    assert owned.commands.run("echo hi").stdout == "hi\n"
    assert owned.run_code("1 + 1").text == "2"
    context = owned.create_code_context()
    owned.remove_code_context(context)
    owned.files.write("x", "y")
    assert owned.get_info().sandbox_id == owned.sandbox_id


@pytest.mark.parametrize("key", ["wrong", "e2b_0000", "codin_x_y"])
def test_another_key_does_not(guarded: Service, owned: Interpreter, key: str) -> None:
    options = with_key(guarded, key)
    for ask in (
        lambda: Sandbox.create(**options),
        lambda: Sandbox.list(**options).next_items(),
        lambda: Sandbox.kill(owned.sandbox_id, **options),
    ):
        with pytest.raises(AuthenticationException):
            ask()
    assert httpx.get(f"{guarded.url}/e2b/sandboxes", trust_env=False).status_code == 401
    assert owned.is_running()


@pytest.mark.parametrize(("tenant", "subject"), [("other", "olga"), ("acme", "otto")])
def test_others_do_not_see_it(
    guarded: Service, owned: Interpreter, tenant: str, subject: str
) -> None:
    options = with_key(guarded, guarded.new_key(tenant, subject))
    assert Sandbox.list(**options).next_items() == []
    for ask in (
        lambda: Sandbox.get_info(owned.sandbox_id, **options),
        lambda: Sandbox.connect(owned.sandbox_id, **options),
        lambda: Sandbox.set_timeout(owned.sandbox_id, 1, **options),
        lambda: Sandbox.pause(owned.sandbox_id, **options),
    ):
        with pytest.raises(NotFoundException):
            ask()
    assert Sandbox.kill(owned.sandbox_id, **options) is False
    assert owned.is_running()


def test_another_key_of_the_same_person_does(guarded: Service, owned: Interpreter) -> None:
    options = with_key(guarded, guarded.new_key("acme", "olga"))
    again = Sandbox.connect(owned.sandbox_id, **options)
    assert again.commands.run("echo same").stdout == "same\n"


@pytest.mark.parametrize("role", ["viewer", "service", "operator"])
def test_who_may_run_nothing_makes_none(guarded: Service, role: str) -> None:
    options = with_key(guarded, guarded.new_key("acme", f"is-{role}", role))
    with pytest.raises(SandboxException, match=r"403: .* may not runtime.run:e2b"):
        Sandbox.create(**options)
    assert Sandbox.list(**options).next_items() == []


@pytest.mark.parametrize(
    "path",
    [
        "/process.Process/List",
        "/process.Process/SendSignal",
        "/filesystem.Filesystem/Stat",
        "/filesystem.Filesystem/Remove",
    ],
)
def test_each_call_shows_the_token_of_its_sandbox(
    guarded: Service, owned: Interpreter, path: str
) -> None:
    with Sandbox.create(**guarded.options) as other:
        token = other._envd_access_token
        for headers in ({}, {"x_access_token": "wrong"}, {"x_access_token": token}):
            answer = call(guarded, owned, path, **headers)
            assert answer.status_code == 401, headers
            assert answer.json()["code"] == "unauthenticated"
            # a key of the owner's is no token either
            answer = call(guarded, owned, path, x_api_key=guarded.key, **headers)
            assert answer.status_code == 401
        assert token not in answer.text


@pytest.mark.parametrize("path", ["/execute", "/contexts"])
def test_code_asks_for_a_token_too(guarded: Service, owned: Interpreter, path: str) -> None:
    port = {"e2b_sandbox_port": "49999"}
    assert call(guarded, owned, path, **port).status_code == 401
    wrong = {"x_access_token": "x", "e2b_traffic_access_token": "y"}
    assert call(guarded, owned, path, **port, **wrong).status_code == 401


def test_files_ask_for_a_token(guarded: Service, owned: Interpreter) -> None:
    owned.files.write("secret", "s")
    headers = {"e2b-sandbox-id": owned.sandbox_id}
    url = f"{guarded.url}/e2b/files?path=secret"
    assert httpx.get(url, headers=headers, trust_env=False).status_code == 401
    assert httpx.get(f"{url}&signature=v1_x", headers=headers, trust_env=False).status_code == 401
    assert (
        httpx.get(f"{guarded.url}/files?path=secret&signature=", trust_env=False).status_code == 401
    )
    assert httpx.get(owned.download_url("secret"), trust_env=False).text == "s"


def test_a_sandbox_that_is_not_there_looks_ended(guarded: Service) -> None:
    headers = {"e2b-sandbox-id": "0" * 20, "content-type": "application/json"}
    url = f"{guarded.url}/e2b/process.Process/List"
    answer = httpx.post(url, json={}, headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (502, "unavailable")
    assert "was not found" in answer.json()["message"]


def test_a_key_that_is_revoked_opens_nothing_more(guarded: Service) -> None:
    from codin.security import Principal

    owner = Principal("acme", "rita", frozenset({"owner"}))
    options = with_key(guarded, guarded.new_key("acme", "rita"))
    sandbox = Sandbox.create(**options)
    keys = guarded.platform.trust.store.keys
    for key in guarded.run(keys.list(owner)):
        if key.principal.subject == "rita":
            guarded.run(keys.revoke(owner, key.id))
    with pytest.raises(AuthenticationException):
        Sandbox.list(**options).next_items()
    with pytest.raises(AuthenticationException):
        sandbox.set_timeout(10)


def test_it_is_written_down(guarded: Service) -> None:
    from codin.security import Principal

    options = with_key(guarded, guarded.new_key("acme", "anna"))
    sandbox = Sandbox.create(**options)
    sandbox.kill()
    viewer = with_key(guarded, guarded.new_key("acme", "vera", "viewer"))
    with pytest.raises(SandboxException):
        Sandbox.create(**viewer)
    auditor = Principal("acme", "auditor", frozenset({"owner"}))
    records = guarded.run(guarded.platform.trust.store.audit.list(auditor))
    told = [
        (each.subject, each.entry.action, each.entry.allowed, each.entry.resource)
        for each in records
    ]
    runs = [entry for entry in told if entry[1] == "runtime.run:e2b"]
    assert ("anna", "runtime.run:e2b", True, sandbox.sandbox_id) in runs
    assert len([entry for entry in runs if entry[3] == sandbox.sandbox_id]) == 2
    assert any(subject == "vera" and not allowed for subject, _, allowed, _ in runs)


def test_pages_of_other_sites_are_refused(service: Service) -> None:
    url = f"{service.url}/e2b/sandboxes"
    for headers in (
        {"origin": "https://evil.example"},
        {"host": "evil.example"},
        {"sec-fetch-site": "cross-site"},
    ):
        answer = httpx.post(url, json={"templateID": "base"}, headers=headers, trust_env=False)
        assert answer.status_code == 403
        assert "refused" in answer.text or "Host header" in answer.text


def test_without_auth_any_key_is_the_local_user(service: Service, shared: Sandbox) -> None:
    for key in ("one", "two"):
        found = Sandbox.list(**with_key(service, key)).next_items()
        assert shared.sandbox_id in {info.sandbox_id for info in found}
    answer = call(service, shared, "/process.Process/List")
    assert answer.status_code == 401, "the token of the sandbox is asked for all the same"


HEAD = struct.Struct(">BI")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_argument"),
        (b"\0\0\0\0", "invalid_argument"),
        (HEAD.pack(0, 5) + b"{}", "invalid_argument"),
        (HEAD.pack(0, 2**31) + b"{}", "resource_exhausted"),
        (HEAD.pack(1, 2) + b"{}", "invalid_argument"),
        (HEAD.pack(0, 2) + b"[]", "invalid_argument"),
        (HEAD.pack(0, 3) + b"\xff\xfe{", "invalid_argument"),
        (HEAD.pack(0, 2) + b"{}" + b"more", "invalid_argument"),
        (HEAD.pack(0, 2) + b"{}", "invalid_argument"),
    ],
)
def test_streams_that_are_none(service: Service, shared: Sandbox, body: bytes, code: str) -> None:
    headers = {
        "e2b-sandbox-id": shared.sandbox_id,
        "x-access-token": shared._envd_access_token,
        "content-type": "application/connect+json",
    }
    url = f"{service.url}/e2b/process.Process/Start"
    answer = httpx.post(url, content=body, headers=headers, trust_env=False)
    assert answer.status_code == 200
    flags, size = HEAD.unpack_from(answer.content)
    end = json.loads(answer.content[HEAD.size :])
    assert (flags, size) == (2, len(answer.content) - HEAD.size)
    assert end["error"]["code"] == code


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ({"process": {"pid": "1"}}, 400),
        ({"process": {"pid": 1}, "signal": "SIGNAL_SIGHUP"}, 404),
        ({"process": []}, 400),
        ({"process": {"tag": 5}}, 400),
        ({"process": None}, 400),
    ],
)
def test_messages_that_say_nothing(
    service: Service, shared: Sandbox, message: dict[str, Any], status: int
) -> None:
    headers = {"e2b-sandbox-id": shared.sandbox_id, "x-access-token": shared._envd_access_token}
    url = f"{service.url}/e2b/process.Process/SendSignal"
    answer = httpx.post(url, json=message, headers=headers, trust_env=False)
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"templateID": "base", "timeout": -1}, 400),
        ({"templateID": "base", "timeout": "long"}, 400),
        ({"templateID": "base", "metadata": [1]}, 400),
        ({"templateID": "base", "envVars": {"A=B": "x"}}, 400),
        ({"templateID": "base", "envVars": {"A": "\0"}}, 400),
        ({"templateID": "base", "envVars": {str(n): "x" for n in range(100)}}, 400),
        ({"templateID": "base", "somethingNew": True}, 501),
        ({"templateID": ["base"]}, 404),
        ({}, 404),
        ([], 400),
    ],
)
def test_sandboxes_that_cannot_be_made(service: Service, given: object, status: int) -> None:
    answer = httpx.post(f"{service.url}/e2b/v2/sandboxes", json=given, trust_env=False)
    assert answer.status_code == status, answer.text
    assert answer.json()["code"] == status
    assert answer.json()["message"]


def test_forms_that_are_none(service: Service, shared: Sandbox) -> None:
    headers = {"e2b-sandbox-id": shared.sandbox_id, "x-access-token": shared._envd_access_token}
    url = f"{service.url}/e2b/files"
    for content, media_type in (
        (b"no form", "multipart/form-data; boundary=x"),
        (b"no form", "multipart/form-data"),
        (b"x", "text/plain"),
        (b"not gzip", "application/octet-stream"),
    ):
        given = {**headers, "content-type": media_type, "content-encoding": "gzip"}
        answer = httpx.post(f"{url}?path=x", content=content, headers=given, trust_env=False)
        assert answer.status_code in {400, 415}, answer.text
    files = [("file", ("a", b"1")), ("file", ("b", b"2"))]
    answer = httpx.post(f"{url}?path=x", files=files, headers=headers, trust_env=False)
    assert answer.status_code == 400


def test_no_answer_tells_what_is_inside(service: Service, shared: Sandbox) -> None:
    for path in ("/e2b", "/e2b/", "/e2b/nothing", "/e2b/templates", "/e2b/sandboxes/x/logs"):
        answer = httpx.get(f"{service.url}{path}", trust_env=False)
        assert answer.status_code in {404, 501}
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "Traceback" not in answer.text
    assert Path(__file__).name not in answer.text
