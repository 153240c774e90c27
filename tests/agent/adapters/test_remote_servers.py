"""The A2A servers of other frameworks, as they are: each in an environment of its own, where it
cannot be beside the platform, with a scripted model. What they answer is right, whole and once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import platformdirs
import pytest
import pytest_asyncio
from uv import find_uv_bin

from codin.agent import AgentInfo, Task
from codin.agent.adapters.remote.agent import RemoteAgent
from codin.agent.events import (
    Completed,
    Failed,
    InputRequest,
    TextDelta,
    TextFinal,
    ToolCall,
    ToolResult,
)
from codin.sandbox.packages import PackageLayers
from codin.testing.agent_conformance import answering, asked, collect, of, task_for
from codin.testing.scripted_model import (
    RecordedRequest,
    ScriptedModel,
    Turn,
    error,
    hang,
    text,
    tool_call,
)

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

HERE = Path(__file__).parent.parent / "environments"
READY_SECONDS = 90.0
STRANDS = ("strands-agents[a2a,openai]>=1.62", "uvicorn>=0.38")
AGNO = (
    "agno>=3.1.10",
    "a2a-sdk[http-server]>=0.3.26,<1",
    "fastapi>=0.120",
    "openai>=1.106",
    "uvicorn>=0.38",
    "python-multipart>=0.0.20",
    "sqlalchemy>=2",
)
LANGGRAPH = (
    "langgraph-api>=0.16.7",
    "langgraph-cli[inmem]>=0.4.40",
    "langchain>=1.4.7",
    "langchain-openai>=1.7.3",
)


@dataclass(frozen=True)
class Kind:
    """A server: what it is run by and with. Without ``requirements`` it is the platform's own."""

    argv: tuple[str, ...]
    requirements: tuple[str, ...] = ()
    path: str = "/"
    streams: bool = True
    wheels: bool = True
    tells_tools: bool = True


SERVERS = {
    "strands": Kind(
        ("strands_server.py", "{port}", "{model}", "legacy"), STRANDS, tells_tools=False
    ),
    "strands compliant": Kind(
        ("strands_server.py", "{port}", "{model}", "compliant"), STRANDS, tells_tools=False
    ),
    "strands rest": Kind(
        ("strands_server.py", "{port}", "{model}", "rest"), STRANDS, tells_tools=False
    ),
    "agno": Kind(("agno_server.py", "{port}", "{model}"), AGNO, "/a2a/agents/worker/"),
    "langgraph": Kind(
        (
            "-m",
            "langgraph_cli",
            "dev",
            "--port",
            "{port}",
            "--no-browser",
            "--no-reload",
            "--config",
            "{folder}/langgraph.json",
        ),
        LANGGRAPH,
        "/a2a/{worker}/",
        wheels=False,  # one of its packages is to be had as source only
    ),
    "adk": Kind(("adk_server.py", "{port}", "{model}"), streams=False),
}


@dataclass
class Running:
    name: str
    url: str
    model: ScriptedModel
    asking: str = ""

    def agent(self, url: str = "") -> RemoteAgent:
        return RemoteAgent(url or self.url, AgentInfo("far", "Far", ""), patience=5)


def answer(request: RecordedRequest) -> Turn:
    """Adds by the tool when it is asked to, and says how often it was spoken to."""
    if "hang" in request.last_user:
        return hang()
    if "overload" in request.last_user:
        return error(400, "no such thing today")
    if "wipe" in request.last_user:
        done = request.tool_results and "confirmation" not in request.tool_results[-1]
        return text(request.tool_results[-1]) if done else tool_call("wipe", {"disk": "sda"})
    if "add" in request.last_user and not request.tool_results:
        return text("Let me look. ", chunk_chars=4) + tool_call("add", {"a": 1, "b": 2})
    if request.tool_results:
        return text("It is 3, and no more.", chunk_chars=4)
    said = [m for m in request.messages if m.get("role") == "user"]
    return text(f"You have spoken {len(said)} times to me.", chunk_chars=4)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=SERVERS)
async def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    model = ScriptedModel(answer)
    async with model.serve() as model_url, running(request.param, folder, model_url) as url:
        yield await found(request.param, url, model)


@asynccontextmanager
async def running(name: str, folder: Path, model_url: str) -> AsyncIterator[str]:
    """The server's process, for as long as the block lasts; yields its origin."""
    kind, layers = SERVERS[name], PackageLayers()
    layer = None
    if kind.requirements:
        get = layers.get if kind.wheels else from_source
        layer = await get(kind.requirements)
    port = free_port()
    graphs = {n: f"{HERE / 'langgraph_graph.py'}:{n}" for n in ("worker", "asking")}
    settings = {"dependencies": ["."], "graphs": graphs}
    (folder / "langgraph.json").write_text(json.dumps(settings))
    given = {"port": port, "model": model_url, "folder": folder}
    argv = [part.format_map(given) for part in kind.argv]
    if argv[0] != "-m":
        argv[0] = str(HERE / argv[0])
    log = (folder / "log").open("wb")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(["-S"] if layer else []),
        *argv,
        cwd=folder,
        stdout=log,
        stderr=log,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "MODEL_URL": model_url,
            **({"PYTHONPATH": str(layer)} if layer else {}),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LANGSMITH_TRACING": "false",
            "AGNO_TELEMETRY": "false",
            "OTEL_SDK_DISABLED": "true",
        },
    )
    try:
        url = f"http://127.0.0.1:{port}"
        await ready(url, process, folder / "log")
        yield url
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        log.close()
        layers.close()


async def from_source(requirements: Sequence[str]) -> Path:
    """A folder with these packages, kept between runs."""
    name = hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:16]
    folder = Path(platformdirs.user_cache_dir("codin")) / "test-servers" / name
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        argv = (find_uv_bin(), "pip", "install", "--python", sys.executable, "--target", folder)
        process = await asyncio.create_subprocess_exec(
            *argv, *requirements, stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
        assert process.returncode == 0, said.decode()
        (folder / "ready").touch()
    return folder


async def ready(url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(READY_SECONDS), httpx.AsyncClient(trust_env=False) as http:
        while True:
            assert process.returncode is None, log.read_text()[-4000:]
            try:
                await http.get(url + "/ok")
            except httpx.TransportError:
                await asyncio.sleep(0.2)
            else:
                return


async def found(name: str, url: str, model: ScriptedModel) -> Running:
    """Where the server's agents are."""
    path = SERVERS[name].path
    if "{worker}" not in path:
        return Running(name, url + path, model)
    async with httpx.AsyncClient(trust_env=False) as http:
        listed = (await http.post(f"{url}/assistants/search", json={})).json()
    ids = {assistant["graph_id"]: assistant["assistant_id"] for assistant in listed}
    return Running(name, url + path.format_map(ids), model, f"{url}/a2a/{ids['asking']}/")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def task(words: str, server: Running, context: str) -> Task:
    # No UUID, as contexts need not be.
    return replace(task_for(words), context_id=f"{server.name} {context}")


async def test_the_answer_is_whole_and_said_once(server: Running) -> None:
    events = await collect(server.agent(), task("Hello", server, "once"))
    assert events[-1] == Completed()
    said = "You have spoken 1 times to me."
    assert [event.text.strip() for event in of(events, TextFinal)] == [said]
    deltas = of(events, TextDelta)
    assert "".join(event.text for event in deltas).strip() == said
    assert {event.message_id for event in deltas} == {of(events, TextFinal)[0].message_id}
    assert (len(deltas) > 1) is SERVERS[server.name].streams


async def test_it_remembers_the_conversation(server: Running) -> None:
    for number in (1, 2, 3):
        outcome = await (await server.agent().handle(task("Hello", server, "again")))
        assert outcome.text.strip() == f"You have spoken {number} times to me."


async def test_what_is_said_around_a_tool_is_told_apart(server: Running) -> None:
    events = await collect(server.agent(), task("add 1 and 2", server, "tool"))
    assert events[-1] == Completed()
    finals = [event.text.strip() for event in of(events, TextFinal)]
    assert "".join(finals) in {
        "Let me look.It is 3, and no more.",
        "It is 3, and no more.",
        "Let me look. It is 3, and no more.",
    }
    assert finals[-1].endswith("It is 3, and no more.")
    if SERVERS[server.name].tells_tools:
        (result,) = of(events, ToolResult)
        assert result.name == "add"
        assert [call.call_id for call in of(events, ToolCall)] in ([], [result.call_id])


async def test_without_a_stream(server: Running) -> None:
    agent = server.agent()
    (await agent.card()).capabilities.streaming = False
    events = await collect(agent, task("Hello", server, "still"))
    assert events[-1] == Completed()
    assert [event.text.strip() for event in of(events, TextFinal)] == [
        "You have spoken 1 times to me."
    ]


async def test_a_failure_is_told_once(server: Running) -> None:
    events = await collect(server.agent(), task("overload", server, "failing"))
    assert isinstance(events[-1], Failed)
    assert len(of(events, Failed)) == 1


async def test_cancelling_ends_in_time(server: Running) -> None:
    asked_before = len(server.model.requests)
    run = asyncio.create_task(collect(server.agent(), task("hang", server, "stop")))
    async with asyncio.timeout(20):
        while len(server.model.requests) == asked_before:
            await asyncio.sleep(0.02)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        while not server.model.requests[asked_before].disconnected:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("server", ["langgraph"], indirect=True)
async def test_what_it_asks_is_answered_by_whoever_goes_on(server: Running) -> None:
    begun = task("Hello", server, "asking")
    events = await collect(server.agent(server.asking), begun)
    request = asked(events)
    assert isinstance(request, InputRequest)
    assert request.prompt == "Which city?"
    answered = await collect(server.agent(server.asking), answering(begun, request, "Paris"))
    assert answered[-1] == Completed()
    assert [event.text for event in of(answered, TextFinal)] == ["Then Paris."]


@pytest.mark.parametrize("server", ["strands", "adk"], indirect=True)
@pytest.mark.parametrize(("said", "done"), [("yes", True), ("no", False)])
async def test_a_tool_that_asks_first_is_answered_in_the_servers_own_shape(
    server: Running, said: str, done: bool
) -> None:
    begun = task("wipe sda", server, f"asking {said}")
    request = asked(await collect(server.agent(), begun))
    assert "sda" in request.prompt
    answered = await collect(server.agent(), answering(begun, request, said))
    assert answered[-1] == Completed()
    assert ("wiped sda" in of(answered, TextFinal)[-1].text) is done
