"""Every kind of workload on every backend, really run: what works on this machine, and how fast."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from codin.errors import CodinError, InvalidInputError
from codin.runtime.base import Runtime, RuntimeResult, UnsupportedWorkload
from codin.runtime.workload import (
    BACKENDS,
    WORKLOAD_KINDS,
    Class,
    Command,
    Container,
    Endpoint,
    Function,
    Module,
    Workload,
    backends_for,
)

CELL_SECONDS = 120.0
"""How long a cell may take, with whatever has to be started for it."""

NOT_BUILT = "this version of codin has no such backend yet"

_SOURCE = """
def double(numbers):
    print("doubling")
    return [2 * number for number in numbers]

class Counter:
    def __init__(self, start):
        self.n = start
    def more(self, by):
        self.n += by
        return self.n
"""

Status = Literal["ok", "unsupported", "unavailable", "failed"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One workload on one backend. ``seconds`` is how long its second run took."""

    workload: str
    backend: str
    status: Status
    seconds: float = 0.0
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """As ``codin matrix --json`` prints it."""
        return {**asdict(self), "seconds": round(self.seconds, 6)}


@dataclass(frozen=True, slots=True)
class _Probe:
    """A workload, and whether what came of it is what should."""

    workload: Workload
    right: Callable[[RuntimeResult], bool]


async def examine(
    names: Sequence[str] | None = None, *, made: Mapping[str, Runtime] | None = None
) -> list[Cell]:
    """All cells of the backends of these names (all, when none is given), in the table's order.

    ``made`` has runtimes to be used instead of those that would be made; they are left open.

    Raises:
        InvalidInputError: no backend has such a name.
    """
    if unknown := set(names or ()) - set(BACKENDS):
        raise InvalidInputError(
            f"there is no backend {min(unknown)!r}; there are: {', '.join(BACKENDS)}"
        )
    async with _server() as url:
        columns = [await _column(name, url, made or {}) for name in names or BACKENDS]
    return [cell for row in zip(*columns, strict=True) for cell in row]


async def _column(name: str, url: str, made: Mapping[str, Runtime]) -> list[Cell]:
    runtime = made.get(name) or _make(name, url)
    if runtime is None:
        return [_not_built(name, kind) for kind in WORKLOAD_KINDS]
    try:
        return [await _cell(runtime, kind, _probe(kind, url)) for kind in WORKLOAD_KINDS]
    finally:
        if name not in made:
            await runtime.close()


def _make(name: str, url: str) -> Runtime | None:
    """The backend of that name; its endpoints reach this machine, where the matrix serves one."""
    if name == "local":
        from codin.runtime.local import LocalRuntime

        return LocalRuntime(private_endpoints=["127.0.0.1/32"])
    if name == "docker":
        from codin.runtime.docker import DockerRuntime

        return DockerRuntime(private_endpoints=[urlsplit(url).netloc])
    if name == "http":
        from codin.runtime.http import HttpRuntime

        return HttpRuntime(private_endpoints=["127.0.0.1/32"])
    return None


def _not_built(name: str, kind: type) -> Cell:
    if name in backends_for(kind):
        return Cell(kind.__name__, name, "unavailable", detail=NOT_BUILT)
    return Cell(kind.__name__, name, "unsupported", detail=_does_not(name, kind))


def _does_not(name: str, kind: type) -> str:
    return f"{name} does not run {kind.__name__}; these do: {', '.join(backends_for(kind))}"


async def _cell(runtime: Runtime, kind: type, probe: _Probe) -> Cell:
    blank = Cell(kind.__name__, runtime.name, "failed")
    try:
        async with asyncio.timeout(CELL_SECONDS):
            if kind in runtime.supports and (reason := await runtime.misfit(probe.workload)):
                return replace(blank, status="unavailable", detail=reason)
            await _once(runtime, probe)
            began = time.monotonic()
            problem = await _once(runtime, probe)
            took = time.monotonic() - began
    except UnsupportedWorkload as error:
        return replace(blank, status="unsupported", detail=str(error))
    except TimeoutError:
        return replace(blank, detail=f"it did not end in {CELL_SECONDS:g} s")
    except CodinError as error:
        return replace(blank, detail=f"{type(error).__name__}: {error}")
    return replace(blank, status="failed" if problem else "ok", seconds=took, detail=problem)


async def _once(runtime: Runtime, probe: _Probe) -> str:
    """Run it, with its output as it comes; gives what was wrong."""
    result = await runtime.run(probe.workload, stream=True)
    try:
        said = b"".join([chunk.data async for chunk in result.output()])
        await result.done()
    except BaseException:
        await result.cancel()
        raise
    if result.failure is not None:
        return f"{result.failure.type_name}: {result.failure.message}"
    return "" if probe.right(result) else f"it gave {result.value!r:.100} and said {said!r:.100}"


def _probe(kind: type, url: str) -> _Probe:
    probes: Mapping[type, _Probe] = {
        Function: _Probe(
            Function(target="m:double", args=([1, 2],), source=_SOURCE),
            lambda r: (r.value, r.stdout) == ([2, 4], b"doubling\n"),
        ),
        Module: _Probe(
            Module(name="p.m", files={"p/__init__.py": "", "p/m.py": "print(6 * 7)"}),
            lambda r: (r.exit_code, r.stdout) == (0, b"42\n"),
        ),
        Class: _Probe(
            Class(target="m:Counter", source=_SOURCE, init_args=(3,), method="more", args=(4,)),
            lambda r: r.value == 7,
        ),
        Command: _Probe(
            Command(argv=("tr", "a-z", "A-Z"), stdin=b"hello"),
            lambda r: (r.exit_code, r.stdout) == (0, b"HELLO"),
        ),
        Container: _Probe(
            Container(image=CONTAINER_IMAGE, argv=("echo", "hello")),
            lambda r: (r.exit_code, r.stdout) == (0, b"hello\n"),
        ),
        Endpoint: _Probe(
            Endpoint(url=url, body=b"ping"),
            lambda r: (r.ok, r.stdout) == (True, b"ping"),
        ),
    }
    return probes[kind]


CONTAINER_IMAGE = "codin-sandbox"
"""What the container of the matrix is made of: the platform's own."""


@asynccontextmanager
async def _server() -> AsyncIterator[str]:
    """The URL of an endpoint of this machine that answers with what it is sent."""
    import socket

    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def echo(request: Request) -> Response:
        return Response(await request.body())

    app = Starlette(routes=[Route("/echo", echo, methods=["POST"])])
    config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve([listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/echo"
        finally:
            server.should_exit = True
            await serving
