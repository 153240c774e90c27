"""Services: started, looked after, and stopped."""

import asyncio
import os
import sys
import threading
from pathlib import Path

import httpx
import pytest

from codin.errors import InvalidInputError
from codin.runtime import LocalRuntime, RuntimeFailure, Service
from codin.sandbox import Limits
from codin.sandbox.base import MIB

pytestmark = pytest.mark.slow


@pytest.fixture
async def runtime():
    runtime = LocalRuntime()
    yield runtime
    await runtime.close()


_SERVER = """
import os, socket, sys, time
print("beginning", os.environ.get("GIVEN"), flush=True)
{before}
server = socket.socket(socket.AF_UNIX)
server.bind("/run/codin/service.sock")
server.listen()
while True:
    connection, _ = server.accept()
    asked = connection.recv(10000).split()[1].decode()
    print("asked", asked, flush=True)
    status = "200 OK" if not os.path.exists("/run/codin/ill") else "503 Unwell"
    connection.sendall(f"HTTP/1.1 {{status}}\\r\\ncontent-length: 0\\r\\n\\r\\n".encode())
    connection.close()
    if asked == "/die":
        sys.exit("died")
"""


@pytest.fixture
def run_dir():
    """A short path: a socket's has 107 bytes at most."""
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix="run-")
    yield folder
    shutil.rmtree(folder)


def _service(run_dir, before="", **more):
    code = _SERVER.format(before=before)
    return Service(name="web", argv=(sys.executable, "-c", code), run_dir=run_dir, **more)


async def test_a_service(runtime, run_dir):
    deployment = await runtime.deploy(_service(run_dir, env={"GIVEN": "this"}))
    assert deployment.endpoint == f"{run_dir}/service.sock"
    assert await deployment.health() == "healthy"
    Path(run_dir, "ill").touch()
    assert await deployment.health() == "unhealthy"
    lines = [line async for line in deployment.logs()]
    assert lines[:2] == ["beginning this", "asked /healthz"]
    await deployment.stop()
    assert await deployment.health() == "stopped"
    assert not Path(deployment.endpoint).exists()
    await deployment.stop()


async def test_following_logs(runtime, run_dir):
    deployment = await runtime.deploy(_service(run_dir))
    seen = []

    async def follow():
        async for line in deployment.logs(follow=True):
            seen.append(line)  # noqa: PERF401 - as they come

    following = asyncio.create_task(follow())
    await asyncio.sleep(0.05)
    await deployment.health()
    await asyncio.sleep(0.1)
    assert seen[0] == "beginning None"
    assert seen.count("asked /healthz") >= 2
    await deployment.stop()
    await asyncio.wait_for(following, 5)


async def test_only_the_last_lines_are_kept(runtime, run_dir):
    before = "for n in range(5000): print(n, flush=True)"
    deployment = await runtime.deploy(_service(run_dir, before))
    lines = [line async for line in deployment.logs()]
    assert len(lines) <= 2000
    assert "4999" in lines
    assert "0" not in lines


async def test_a_service_that_ends_early(runtime, run_dir):
    with pytest.raises(RuntimeFailure, match=r"(?s)'web' ended: exit code 1.*beginning.*no config"):
        await runtime.deploy(_service(run_dir, "sys.exit('no config')"))


async def test_a_service_that_does_not_get_ready(runtime, run_dir):
    with pytest.raises(RuntimeFailure, match=r"(?s)not get ready in 0.5 s.*beginning"):
        await runtime.deploy(_service(run_dir, "time.sleep(60)", ready_seconds=0.5))
    assert threading.active_count() < 50


async def test_a_service_whose_command_is_not_there(runtime, run_dir):
    with pytest.raises(RuntimeFailure, match="no-such-program"):
        await runtime.deploy(Service(name="x", argv=("no-such-program",), run_dir=run_dir))


async def test_a_service_that_dies_later(runtime, run_dir):
    import httpx

    deployment = await runtime.deploy(_service(run_dir))
    transport = httpx.AsyncHTTPTransport(uds=deployment.endpoint)
    async with httpx.AsyncClient(transport=transport) as client:
        await client.get("http://service/die")
    async with asyncio.timeout(5):
        lines = [line async for line in deployment.logs(follow=True)]
    assert lines[-1] == "died"
    assert await deployment.health() == "stopped"


async def test_a_service_has_no_network_and_no_home(runtime, run_dir):
    before = (
        "try: socket.create_connection(('127.0.0.1', 22), 1)\n"
        "except OSError as e: print('net', e)\n"
        f"print('home', os.path.exists({str(Path.home() / '.bashrc')!r}), flush=True)"
    )
    deployment = await runtime.deploy(_service(run_dir, before))
    lines = [line async for line in deployment.logs()]
    assert lines[1].startswith("net")
    assert lines[2] == "home False"


async def test_a_service_that_takes_too_much_memory(runtime, run_dir):
    before = "b = bytearray(300 << 20)"
    limits = Limits(memory_bytes=100 * MIB, wall_seconds=None, output_bytes=None)
    with pytest.raises(RuntimeFailure, match="memory"):
        await runtime.deploy(_service(run_dir, before, limits=limits))


async def test_a_path_that_is_too_long_for_a_socket(runtime, tmp_path):
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    with pytest.raises(RuntimeFailure, match="too long"):
        await runtime.deploy(_service(str(folder)))


async def test_cancelling_a_start_leaves_nothing(runtime, run_dir):
    mark = f"codin-service-{os.getpid()}"
    starting = asyncio.create_task(runtime.deploy(_service(run_dir, f"time.sleep(60)  # {mark}")))
    await asyncio.sleep(0.5)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    lines = [
        (folder / "cmdline").read_bytes()
        for folder in Path("/proc").glob("[0-9]*")
        if (folder / "cmdline").exists()
    ]
    assert not any(mark.encode() in line for line in lines)


# Starting again

_DIES = "import os; n = len(os.listdir('/run/codin')); open(f'/run/codin/{n}', 'w').close()"


async def test_a_service_that_fails_is_started_again(runtime, run_dir):
    before = f"{_DIES}\nif n < 1: sys.exit('not yet')"
    deployment = await runtime.deploy(_service(run_dir, before, restart="on-failure"))
    assert await deployment.health() == "healthy"
    assert deployment.restarts == 1
    lines = [line async for line in deployment.logs()]
    assert lines[:3] == ["beginning None", "not yet", "beginning None"]
    await _ask(deployment, "/die")
    async with asyncio.timeout(15):
        while deployment.restarts < 2 or await deployment.health() != "healthy":
            await asyncio.sleep(0.05)
    await deployment.stop()
    assert await deployment.health() == "stopped"


async def test_starting_again_ends(runtime, run_dir):
    service = _service(run_dir, "sys.exit('never')", restart="on-failure", restarts=1)
    with pytest.raises(RuntimeFailure, match=r"(?s)ended: exit code 1.*never.*never"):
        await runtime.deploy(service)


async def test_a_service_that_ends_well_is_not_started_again(runtime, run_dir):
    service = _service(run_dir, "sys.exit(0)", restart="on-failure")
    with pytest.raises(RuntimeFailure, match="ended: exit code 0"):
        await runtime.deploy(service)


async def test_a_service_is_started_again_after_a_limit(runtime, run_dir):
    before = f"{_DIES}\nif n < 1: b = bytearray(300 << 20)"
    limits = Limits(memory_bytes=100 * MIB, wall_seconds=None, output_bytes=None)
    service = _service(run_dir, before, limits=limits, restart="on-failure")
    deployment = await runtime.deploy(service)
    assert deployment.restarts == 1
    lines = [line async for line in deployment.logs()]
    assert any("bytes of memory" in line for line in lines), lines


async def test_stopping_while_it_waits_to_start_again(runtime, run_dir):
    service = _service(run_dir, f"{_DIES}\nif n > 0: sys.exit(1)", restart="on-failure")
    deployment = await runtime.deploy(service)
    await _ask(deployment, "/die")
    await asyncio.sleep(0.3)
    assert await deployment.health() in {"starting", "unhealthy"}
    await asyncio.wait_for(deployment.stop(), 5)
    assert await deployment.health() == "stopped"


async def _ask(deployment, path):
    transport = httpx.AsyncHTTPTransport(uds=deployment.endpoint)
    async with httpx.AsyncClient(transport=transport) as client:
        return await client.get(f"http://service{path}")


# Ports

_PORTS = """
from http.server import BaseHTTPRequestHandler, HTTPServer
import threading

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"port {self.server.server_port}".encode())

servers = [HTTPServer(("0.0.0.0", port), Handler) for port in (8000, 8001)]
threading.Thread(target=servers[1].serve_forever, daemon=True).start()
servers[0].serve_forever()
"""


async def test_a_service_on_ports(runtime):
    service = Service(name="web", argv=("python", "-c", _PORTS), ports=(8000, 8001))
    deployment = await runtime.deploy(service)
    assert deployment.endpoint == deployment.ports[8000]
    async with httpx.AsyncClient(trust_env=False) as client:
        for port, url in deployment.ports.items():
            assert url.startswith("http://127.0.0.1:")
            assert (await client.get(url)).text == f"port {port}"
        assert await deployment.health() == "healthy"
        await deployment.stop()
        with pytest.raises(httpx.HTTPError):
            await client.get(deployment.endpoint)


async def test_a_service_that_serves_nowhere(runtime):
    with pytest.raises(InvalidInputError, match="run_dir or ports"):
        await runtime.deploy(Service(name="x", argv=("true",)))
