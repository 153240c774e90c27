import asyncio
import os
import sys
import threading
from pathlib import Path

import pytest

from codin.errors import InvalidInputError
from codin.runtime import (
    Class,
    Command,
    Container,
    Function,
    LocalRuntime,
    OmniRuntime,
    RuntimeFailure,
    Service,
    UnsupportedWorkload,
)
from codin.sandbox import Limits
from codin.sandbox.base import MIB
from codin.testing.runtime_conformance import RuntimeConformance


@pytest.fixture
async def runtime():
    runtime = LocalRuntime()
    yield runtime
    await runtime.close()


class TestLocalRuntime(RuntimeConformance):
    @pytest.fixture
    async def runtime(self):
        runtime = LocalRuntime()
        yield runtime
        await runtime.close()


async def test_a_container_is_refused_with_the_backends_that_run_it(runtime):
    with pytest.raises(UnsupportedWorkload, match="docker, kubernetes, daytona"):
        await runtime.run(Container(image="python"))


def test_run_sync():
    runtime = LocalRuntime()
    result = runtime.run_sync(Command(argv=("echo", "hi")))
    assert result.stdout == b"hi\n"
    for number in (16, 25):
        result = runtime.run_sync(Function(target="math:sqrt", args=(number,)))
        assert result.value == number**0.5
    assert OmniRuntime().run_sync(Command(argv=("echo", "hi"))).stdout == b"hi\n"


async def test_run_sync_in_a_loop_is_an_error(runtime):
    with pytest.raises(RuntimeError):
        runtime.run_sync(Command(argv=("true",)))


async def test_the_memory_limit_is_told(runtime):
    workload = Function(
        target="m:f", source="def f(): bytearray(300 << 20)", limits=Limits(memory_bytes=100 * MIB)
    )
    result = await runtime.run(workload)
    assert result.limits_hit == ("memory_bytes",)


async def test_arguments_that_are_not_data(runtime):
    with pytest.raises(InvalidInputError, match="arguments"):
        await runtime.run(Function(target="math:sqrt", args=(object(),)))


async def test_a_function_reaches_nothing_of_the_host(runtime, tmp_path):
    (tmp_path / "secret").write_text("x")
    path = str(tmp_path / "secret")
    result = await runtime.run(
        Function(target="m:f", args=(path,), source="def f(p): return open(p).read()")
    )
    assert result.failure.type_name == "FileNotFoundError"


async def test_an_instance_whose_process_ended_is_made_anew(runtime):
    source = (
        "import os\nclass C:\n    n = 0\n    def go(self, die):\n        self.n += 1\n"
        "        os._exit(1) if die else None\n        return self.n"
    )

    def call(die):
        return Class(target="m:C", source=source, method="go", args=(die,), instance="i")

    assert (await runtime.run(call(False))).value == 1
    assert (await runtime.run(call(True))).failure.type_name == "WorkerGone"
    assert (await runtime.run(call(False))).value == 1


async def test_an_instance_is_of_one_class(runtime):
    await runtime.run(
        Class(target="collections:Counter", method="total", instance="i", init_args=("a",))
    )
    with pytest.raises(InvalidInputError, match="Counter"):
        await runtime.run(Class(target="collections:deque", method="copy", instance="i"))


# Services

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
