"""Checks of sandboxes: a network that is an allow-list, and the proxy that keeps it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from codin.sandbox.base import Limits, Sandbox, SandboxProvider, SandboxSpec
from codin.sandbox.network import ProxyLimits, ProxyRoom
from codin.testing._sandbox_base import SOON
from codin.testing.small_server import SmallServer, small_server

_LIMITS = ProxyLimits(connections=16, head_seconds=1.0, connect_seconds=3.0, idle_seconds=3.0)

# What runs inside. Each prints one line of JSON.
_GET = """
import json, sys, urllib.error, urllib.request
try:
    with urllib.request.urlopen(sys.argv[1], timeout=20) as answer:
        print(json.dumps([answer.status, answer.read().decode()]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, error.reason]))
except OSError as error:
    print(json.dumps([0, str(error)]))
"""
_RAW = """
import json, socket, sys
with socket.create_connection(("127.0.0.1", 3128), 20) as proxy:
    proxy.sendall(sys.stdin.buffer.read())
    answer = b""
    while data := proxy.recv(65536):
        answer += data
print(json.dumps(answer.decode("latin-1")))
"""
_CONNECT = """
import json, socket, sys
found = {}
for host, port in json.loads(sys.argv[1]):
    try:
        socket.create_connection((host, port), 3).close()
        found[f"{host} {port}"] = "connected"
    except OSError as error:
        found[f"{host} {port}"] = type(error).__name__
print(json.dumps(found))
"""
_NAMES = """
import json, socket
found = []
for name in ("allowed.test", "example.com", "one.one.one.one"):
    try:
        found += socket.getaddrinfo(name, 80)
    except OSError:
        pass
asked = []
for family, server in ((socket.AF_INET, "8.8.8.8"), (socket.AF_INET6, "2001:4860:4860::8888")):
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as query:
            query.connect((server, 53))
            query.send(b"\\0" * 12)
            asked.append(server)
    except OSError:
        pass
here = sorted({row[4][0] for row in socket.getaddrinfo("localhost", 80)})
print(json.dumps([found, asked, here]))
"""
_FLOOD = """
import json, resource, socket, time
most = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 1500)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
opened = []
end = time.monotonic() + 3
for number in range(most - 50):
    one = socket.socket()
    one.setblocking(False)
    one.connect_ex(("127.0.0.1", 3128))
    opened.append(one)
while time.monotonic() < end:
    for one in opened:
        try:
            one.send(b"x" * 100)
        except OSError:
            pass
    time.sleep(0.05)
print(json.dumps(len(opened)))
"""
_HOLD = """
import socket, sys, time
with socket.create_connection(("127.0.0.1", 3128), 20) as proxy:
    proxy.sendall(f"CONNECT {sys.argv[1]} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n".encode())
    print(proxy.recv(100).decode(), flush=True)
    time.sleep(60)
"""


class NetworkConformance:
    """For a provider that gives allow-lists. Give the fixture ``listed_provider``, made over the
    fixture ``room``; ``machine`` says which kind of its sandboxes is checked."""

    machine = False

    @pytest.fixture
    async def server(self) -> AsyncIterator[SmallServer]:
        async with small_server() as serving:
            yield serving

    @pytest.fixture
    def names(self) -> dict[str, list[str]]:
        """Where names lead, outside."""
        return {"allowed.test": ["127.0.0.1"], "sub.allowed.test": ["127.0.0.1"]}

    @pytest.fixture
    def room(self, server: SmallServer, names: dict[str, list[str]]) -> ProxyRoom:
        async def resolve(name: str, port: int) -> list[str]:
            if name not in names:
                raise socket.gaierror(-2, "unknown")
            return names[name]

        return ProxyRoom([f"127.0.0.1:{server.port}"], resolve=resolve, limits=_LIMITS)

    @pytest.fixture
    async def listed_provider(self, room: ProxyRoom) -> AsyncIterator[SandboxProvider]:
        raise NotImplementedError("give the provider to be checked, over room")
        yield  # noqa: PT022 - as the fixtures do that replace it

    def spec(self, *entries: str) -> SandboxSpec:
        """A sandbox with this list."""
        limits = Limits(network=entries, processes=32, wall_seconds=60.0)
        return SandboxSpec(limits=limits, machine=self.machine, name="checked")

    @pytest.fixture
    async def listed(
        self, listed_provider: SandboxProvider, server: SmallServer
    ) -> AsyncIterator[Sandbox]:
        spec = self.spec(f"allowed.test:{server.port}")
        async with await listed_provider.create(spec) as made:
            yield made

    async def test_what_is_allowed_is_reached(self, listed: Sandbox, server: SmallServer) -> None:
        url = f"http://allowed.test:{server.port}/hello"
        assert await _run(listed, _GET, url) == [200, "hello from /hello"]
        assert listed.refusals == ()

    async def test_workers_and_shells_reach_it_too(
        self, listed: Sandbox, server: SmallServer
    ) -> None:
        url = f"http://allowed.test:{server.port}/code"
        code = f"import urllib.request\nurllib.request.urlopen({url!r}).read().decode()"
        assert (await listed.run_code(code)).value == "'hello from /code'"
        shell = f"python3 -c \"import urllib.request as u; print(u.urlopen('{url}').status)\""
        assert (await listed.run_code(shell, language="bash", session="s")).stdout == "200\n"

    async def test_a_tunnel_goes_to_what_is_allowed(
        self, listed: Sandbox, server: SmallServer
    ) -> None:
        target = f"allowed.test:{server.port}"
        inner = "GET /inner HTTP/1.1\r\nHost: anything\r\nConnection: close\r\n\r\n"
        answer = await _raw(listed, f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n{inner}")
        assert answer.startswith("HTTP/1.1 200 ")
        assert answer.endswith("hello from /inner")

    async def test_another_host_or_port_is_refused_with_the_line_to_add(
        self, listed: Sandbox, server: SmallServer
    ) -> None:
        allowed = f"allowed.test:{server.port}"
        for host, port in (("other.test", 80), ("allowed.test", 81), ("sub.allowed.test", 82)):
            status, reason = await _run(listed, _GET, f"http://{host}:{port}/")
            assert status == 403
            assert reason.endswith(f'network = ["{allowed}", "{host}:{port}"]')
        status, reason = await _run(listed, _GET, "https://secure.test/")
        assert (status, '"secure.test:443"]' in reason) == (0, True)
        targets = [refusal.target for refusal in listed.refusals]
        plain = ["other.test:80", "allowed.test:81", "sub.allowed.test:82"]
        assert targets == [*plain, "secure.test:443"]
        assert server.connections == 0

    async def test_an_empty_list_allows_nothing_and_says_so(
        self, listed_provider: SandboxProvider, server: SmallServer
    ) -> None:
        async with await listed_provider.create(self.spec()) as sandbox:
            status, reason = await _run(sandbox, _GET, f"http://allowed.test:{server.port}/")
        assert (status, server.connections) == (403, 0)
        assert reason.endswith(f'network = ["allowed.test:{server.port}"]')
        assert [each.target for each in sandbox.refusals] == [f"allowed.test:{server.port}"]

    async def test_each_sandbox_has_its_own_list(
        self, listed_provider: SandboxProvider, listed: Sandbox, server: SmallServer
    ) -> None:
        url = f"http://allowed.test:{server.port}/"
        async with await listed_provider.create(self.spec("other.test:80")) as other:
            both = await asyncio.gather(_run(listed, _GET, url), _run(other, _GET, url))
        assert [answer[0] for answer in both] == [200, 403]

    async def test_there_is_no_other_route(self, listed: Sandbox, server: SmallServer) -> None:
        socket.create_connection(("127.0.0.1", server.port)).close()  # from here there is
        places: list[list[str | int]] = [
            ["127.0.0.1", server.port],
            ["::1", server.port],
            ["1.1.1.1", 443],
        ]
        places += [["2606:4700:4700::1111", 443], ["169.254.169.254", 80]]
        places += _own(server.port)
        found = await _run(listed, _CONNECT, json.dumps(places))
        assert len(found) == len(places)
        assert "connected" not in found.values()
        open_here = await _run(listed, _CONNECT, json.dumps([["127.0.0.1", 3128]]))
        assert open_here == {"127.0.0.1 3128": "connected"}  # it can tell

    async def test_names_mean_nothing_inside(self, listed: Sandbox) -> None:
        found, asked, here = await _run(listed, _NAMES)
        assert (found, asked) == ([], [])
        assert set(here) <= {"127.0.0.1", "::1"}
        assert here

    async def test_addresses_that_are_not_public_are_never_reached(
        self, listed_provider: SandboxProvider, names: dict[str, list[str]]
    ) -> None:
        turned = ("10.0.0.5", "169.254.169.254", "::ffff:127.0.0.1", "fd00:ec2::254", "127.0.0.2")
        names.update({f"n{number}.test": [turn] for number, turn in enumerate(turned)})
        names["both.test"] = ["93.184.216.34", "10.0.0.5"]
        hosts = [*(f"n{number}.test" for number in range(len(turned))), "both.test"]
        hosts += ["169.254.169.254", "10.0.0.5", "[fd00:ec2::254]"]
        spec = self.spec(*(f"{host}:80" for host in hosts))
        async with await listed_provider.create(spec) as sandbox:
            for host in hosts:
                status, reason = await _run(sandbox, _GET, f"http://{host}/latest/meta-data/")
                assert (status, "not public" in reason) == (403, True), host

    async def test_a_name_that_turns_to_a_private_address_is_not_followed(
        self, listed: Sandbox, server: SmallServer, names: dict[str, list[str]]
    ) -> None:
        url = f"http://allowed.test:{server.port}/"
        assert (await _run(listed, _GET, url))[0] == 200
        names["allowed.test"] = ["10.0.0.1"]
        assert (await _run(listed, _GET, url))[0] == 403

    async def test_a_forged_host_is_not_believed(
        self, listed: Sandbox, server: SmallServer
    ) -> None:
        allowed = f"allowed.test:{server.port}"
        forged = f"GET http://other.test/ HTTP/1.1\r\nHost: {allowed}\r\n\r\n"
        assert (await _raw(listed, forged)).startswith("HTTP/1.1 403 ")
        assert server.connections == 0
        turned = f"GET http://{allowed}/ HTTP/1.1\r\nHost: other.test\r\n\r\n"
        assert (await _raw(listed, turned)).startswith("HTTP/1.1 200 ")
        assert [v for k, v in server.heads[0].headers if k == b"host"] == [allowed.encode()]

    async def test_what_could_be_read_in_two_ways_is_refused(
        self, listed: Sandbox, server: SmallServer
    ) -> None:
        allowed = f"allowed.test:{server.port}"
        lines = (
            *(f"CONNECT {allowed}@evil.test", f"CONNECT user@{allowed}", f"CONNECT {allowed}:443"),
            *(f"GET http://evil.test\\@{allowed}/", f"GET http://user:word@{allowed}/"),
            *(f"GET http://{allowed}@evil.test/", f"GET https://{allowed}/", "GET /etc/passwd"),
        )
        for line in lines:
            answer = await _raw(listed, f"{line} HTTP/1.1\r\nHost: {allowed}\r\n\r\n")
            assert answer[:13] in {"HTTP/1.1 400 ", "HTTP/1.1 403 "}, line
        assert server.connections == 0

    async def test_a_head_has_an_end_and_comes_in_time(self, listed: Sandbox) -> None:
        long = "GET http://allowed.test/ HTTP/1.1\r\nHost: x\r\nX: " + "x" * 70_000
        assert (await _raw(listed, long)).startswith("HTTP/1.1 431 ")
        began = time.monotonic()
        assert (await _raw(listed, "GET http://allowed.test/ HTTP/1.1\r\n")).startswith(
            "HTTP/1.1 408 "
        )
        assert time.monotonic() - began < SOON

    @pytest.mark.slow
    async def test_thousands_of_connections_take_nothing_from_others(
        self, listed_provider: SandboxProvider, listed: Sandbox, server: SmallServer
    ) -> None:
        url = f"http://allowed.test:{server.port}/"
        spec = self.spec(f"allowed.test:{server.port}")
        files = len(os.listdir("/proc/self/fd"))
        async with await listed_provider.create(spec) as other:
            flooding = asyncio.create_task(_run(listed, _FLOOD))
            await asyncio.sleep(1)
            held = len(os.listdir("/proc/self/fd")) - files
            assert (await _run(other, _GET, url))[0] == 200
            assert await flooding > 500
        assert held < 4 * _LIMITS.connections + 60
        assert (await _run(listed, _GET, url))[0] == 200

    async def test_its_end_ends_its_connections(self, listed: Sandbox, server: SmallServer) -> None:
        process = await listed.start(["python3", "-c", _HOLD, f"allowed.test:{server.port}"])
        assert (await anext(process.output())).data.startswith(b"HTTP/1.1 200 ")
        assert (server.open, _doors()) == (1, 1)
        await listed.kill()
        await _until(lambda: not server.open and not _doors())

    async def test_commands_side_by_side(self, listed: Sandbox, server: SmallServer) -> None:
        urls = [f"http://allowed.test:{server.port}/{number}" for number in range(8)]
        answers = await asyncio.gather(*(_run(listed, _GET, url) for url in urls))
        assert answers == [[200, f"hello from /{number}"] for number in range(8)]

    async def test_what_a_command_prints_and_how_it_ends_is_its_own(self, listed: Sandbox) -> None:
        result = await listed.exec(["sh", "-c", "echo out; cat; echo err >&2; exit 3"], stdin=b"in")
        assert (result.exit_code, result.stdout, result.stderr) == (3, b"out\nin", b"err\n")
        opened = "import os; print(sorted(set(os.listdir('/proc/self/fd')) - {'0', '1', '2'}))"
        plain = await listed.exec(["python3", "-c", opened])
        assert len(json.loads(plain.stdout.replace(b"'", b'"'))) <= 2  # the folder that is listed


async def _run(sandbox: Sandbox, code: str, *arguments: str) -> Any:
    result = await sandbox.exec(["python3", "-c", code, *arguments])
    assert result.exit_code == 0, result.stderr.decode()
    return json.loads(result.stdout)


async def _raw(sandbox: Sandbox, request: str) -> str:
    result = await sandbox.exec(["python3", "-c", _RAW], stdin=request.encode("latin-1"))
    assert result.exit_code == 0, result.stderr.decode()
    answer: str = json.loads(result.stdout)
    return answer


def _doors() -> int:
    return sum(each.name == "codin-accept" for each in threading.enumerate())


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


def _own(port: int) -> list[list[str | int]]:
    """This machine under its own addresses."""
    found: list[list[str | int]] = []
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("192.0.2.1", 9))  # nothing is sent
        found.append([asking.getsockname()[0], port])
    return found
