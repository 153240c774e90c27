"""What programs in a sandbox listen on, reached through the gateway."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from e2b import Sandbox
from e2b_service import Service, running

pytestmark = pytest.mark.slow

PROGRAM = """
from http.server import BaseHTTPRequestHandler, HTTPServer
import json, time

class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/slow":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for n in range(3):
                self.wfile.write(b"1\\r\\n%d\\r\\n" % n)
                self.wfile.flush()
                time.sleep(0.3)
            self.wfile.write(b"0\\r\\n\\r\\n")
            return
        size = int(self.headers.get("content-length", 0))
        told = {
            "path": self.path, "method": self.command, "headers": dict(self.headers.items()),
            "body": self.rfile.read(size).decode(),
        }
        data = json.dumps(told).encode()
        self.send_response(418 if self.path == "/teapot" else 200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Own", "yes")
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_GET

HTTPServer(("127.0.0.1", 3000), Echo).serve_forever()
"""


def begin(sandbox: Sandbox) -> None:
    sandbox.files.write("echo.py", PROGRAM)
    sandbox.commands.run("exec python3 echo.py", background=True, timeout=0)


def until_open(url: str, headers: dict[str, str]) -> None:
    deadline = time.monotonic() + 10
    while httpx.get(url, headers=headers, trust_env=False).status_code == 502:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def serving(service: Service, shared: Sandbox) -> Sandbox:
    begin(shared)
    until_open(service.url, {"host": shared.get_host(3000)})
    return shared


def test_a_port_has_a_host_of_its_own(service: Service, serving: Sandbox) -> None:
    host = serving.get_host(3000)
    assert host == f"3000-{serving.sandbox_id}.{service.url.removeprefix('http://')}"
    answer = httpx.get(f"{service.url}/a/b%2Fc?x=1&y=%20", headers={"host": host}, trust_env=False)
    told = answer.json()
    assert told["path"] == "/a/b%2Fc?x=1&y=%20"
    assert told["headers"]["host"] == host
    assert answer.headers["x-own"] == "yes"
    assert "content-security-policy" not in answer.headers
    answer = httpx.post(
        f"{service.url}/teapot", content=b"a body", headers={"host": host}, trust_env=False
    )
    assert (answer.status_code, answer.json()["body"]) == (418, "a body"), answer.text


def test_a_port_by_headers(service: Service, serving: Sandbox) -> None:
    headers = {
        "e2b-sandbox-id": serving.sandbox_id,
        "e2b-sandbox-port": "3000",
        "x-access-token": serving._envd_access_token,
        "x-api-key": "secret",
    }
    answer = httpx.get(f"{service.url}/e2b/path", headers=headers, trust_env=False)
    told = answer.json()
    assert told["path"] == "/path"
    passed = {name.lower() for name in told["headers"]}
    assert not passed & {"x-access-token", "x-api-key", "e2b-sandbox-id"}
    assert "content-security-policy" in answer.headers, "it is the platform's own origin"


def test_an_answer_comes_as_it_is_made(service: Service, serving: Sandbox) -> None:
    headers = {"host": serving.get_host(3000)}
    with httpx.stream("GET", f"{service.url}/slow", headers=headers, trust_env=False) as answer:
        times = [time.monotonic() for _ in answer.iter_bytes()]
    assert times[-1] - times[0] > 0.4


def test_a_port_that_nobody_listens_on(service: Service, serving: Sandbox) -> None:
    for port in (3001, 0, 65535):
        headers = {"host": serving.get_host(port)}
        answer = httpx.get(service.url, headers=headers, trust_env=False)
        assert answer.status_code in {400, 502}
        assert "port" in answer.text
    headers = {"host": serving.get_host(3000).replace(serving.sandbox_id, "0" * 20)}
    assert httpx.get(service.url, headers=headers, trust_env=False).status_code == 502


def test_websockets_are_not_passed_on(service: Service, serving: Sandbox) -> None:
    headers = {
        "host": serving.get_host(3000),
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
    }
    answer = httpx.get(service.url, headers=headers, trust_env=False)
    assert answer.status_code == 501


@pytest.mark.slow
def test_ports_ask_for_a_token_where_callers_are_asked(tmp_path: Path) -> None:
    with running(tmp_path, auth=True) as service:
        service.key = service.new_key("acme", "olga")
        with Sandbox.create(**service.options) as sandbox:
            begin(sandbox)
            host = {"host": sandbox.get_host(3000)}
            assert httpx.get(service.url, headers=host, trust_env=False).status_code == 401
            token = {"e2b-traffic-access-token": sandbox.traffic_access_token}
            until_open(service.url, {**host, **token})
            answer = httpx.get(service.url, headers={**host, **token}, trust_env=False)
            assert answer.status_code == 200
            assert sandbox.traffic_access_token not in answer.text
            # it opens ports, and nothing else
            answer = httpx.post(
                f"{service.url}/e2b/process.Process/List",
                json={},
                headers={"e2b-sandbox-id": sandbox.sandbox_id, **token},
                trust_env=False,
            )
            assert answer.status_code == 401
