"""`codin bench gateway`: what it prints, that answers are looked at, and what it does not forgive.

Nothing here is about speed: what a busy machine measures proves nothing.
"""

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from codin.bench import BenchError, Measure
from codin.bench._client import events_of
from codin.bench._programs import Load, Server, announced, program
from codin.testing.a2a_server import listening

pytestmark = pytest.mark.slow

METRICS = [
    "send c=1",
    "send c=16",
    "send c=64",
    "get c=16",
    "first event",
    "events 1 stream",
    "events 16 streams",
    "rss idle",
    "rss per 1000 streams",
]


@pytest.mark.slow
def test_it_measures_both_servers_and_prints_what_programs_read(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "codin", "bench", "gateway", "--quick", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["bench"] == "gateway"
    assert {"cpus", "cpu", "memory_mb", "python", "system", "load"} == set(report["machine"])
    rows = {row["metric"]: row for row in report["results"]}
    assert [name for name in rows if name in METRICS] == METRICS
    for row in rows.values():
        assert set(row) == {
            "metric",
            "value",
            "unit",
            "baseline",
            "baseline_value",
            "ratio",
            "runs",
        }
        assert row["baseline"] == "a2a-sdk"
        assert row["runs"] == 1
        if not row["metric"].startswith("rss"):
            assert row["value"] > 0
            assert row["baseline_value"] > 0
            assert row["ratio"] == pytest.approx(row["value"] / row["baseline_value"], rel=0.01)


def test_a_figure_is_the_median_of_its_rounds() -> None:
    measure = Measure("send", "1/s")
    for ours, theirs in ((90.0, 30.0), (10.0, 31.0), (96.0, 29.0)):
        measure.add("codin", ours)
        measure.add("plain", theirs)
    found = measure.compared("codin", "plain")
    assert (found.value, found.baseline_value, found.ratio, found.runs) == (90.0, 30.0, 3.0, 3)


async def measured(
    answer: Callable[[Request], Awaitable[Response]], folder: Path, do: str, **job: object
) -> float:
    """What the load makes of a server that gives ``answer``."""
    log = folder / "load.log"
    app = Starlette(routes=[Route("/", answer, methods=["POST"])])
    async with (
        listening(app) as url,
        program(["-m", "codin.bench._load"], log) as process,
    ):
        return await Load(process, log).measure(Server(f"{url}/", {"x-key": "k"}, 0), do, **job)


async def echo(request: Request) -> JSONResponse:
    asked = await request.json()
    [part] = asked["params"]["message"]["parts"]
    status = {"state": "TASK_STATE_COMPLETED"}
    artifacts = [{"artifactId": "echo", "parts": [part]}]
    task = {"id": "t", "contextId": "c", "status": status, "artifacts": artifacts}
    return JSONResponse({"jsonrpc": "2.0", "id": asked["id"], "result": {"task": task}})


async def test_messages_are_counted_each_with_its_own_id_and_with_the_headers(
    tmp_path: Path,
) -> None:
    seen: list[tuple[str, str]] = []

    async def watched(request: Request) -> Response:
        message = (await request.json())["params"]["message"]
        seen.append((message["messageId"], request.headers["x-key"]))
        return await echo(request)

    rate = await measured(watched, tmp_path, "send", connections=3, seconds=0.2)
    assert rate > 0
    assert len({message_id for message_id, _ in seen}) == len(seen) > 3
    assert {key for _, key in seen} == {"k"}


async def test_an_answer_that_is_wrong_is_no_result(tmp_path: Path) -> None:
    async def deaf(request: Request) -> Response:
        return JSONResponse({"result": {"task": {"status": {"state": "TASK_STATE_COMPLETED"}}}})

    async def unfinished(request: Request) -> Response:
        answer = bytes((await echo(request)).body)
        return Response(answer.replace(b"COMPLETED", b"WORKING"), media_type="application/json")

    async def refusing(request: Request) -> Response:
        return Response("no", 503)

    for wrong, said in ((deaf, "wrong answer"), (unfinished, "wrong answer"), (refusing, "503")):
        with pytest.raises(BenchError, match=said):
            await measured(wrong, tmp_path, "send", connections=1, seconds=0.1)


async def test_a_stream_that_lacks_an_event_is_no_result(tmp_path: Path) -> None:
    def events(numbers: list[int]) -> list[dict[str, object]]:
        pieces = [
            {"artifactId": f"artifact-{n}", "parts": [{"text": f"piece {n}"}]} for n in numbers
        ]
        end = {"statusUpdate": {"status": {"state": "TASK_STATE_COMPLETED"}}}
        return [{"task": {}}, *({"artifactUpdate": {"artifact": p}} for p in pieces), end]

    def streaming(numbers: list[int]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            lines = [f"data: {json.dumps({'result': one})}\r\n\r\n" for one in events(numbers)]
            return StreamingResponse(iter(lines), media_type="text/event-stream")

        return answer

    job = {"connections": 2, "count": 3}
    assert await measured(streaming([0, 1, 2]), tmp_path, "events", **job) > 0
    for numbers in ([0, 2], [0, 2, 1], [0, 1, 1, 2]):
        with pytest.raises(BenchError, match="3 artifacts"):
            await measured(streaming(numbers), tmp_path, "events", **job)


def chunked(*pieces: str) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p.encode()) for p in (*pieces, ""))


def test_chunks_are_put_together_wherever_they_were_cut() -> None:
    event = 'id: 1\ndata: {"result": {"a": 1}}\n\n'
    for at in range(1, len(event)):
        assert events_of(chunked(event[:at], event[at:])) == [{"a": 1}]
    with pytest.raises(BenchError, match="an error"):
        events_of(chunked('event: error\ndata: {"error": 1}\n\n'))


async def test_a_server_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(BenchError, match="No module named none"):
        async with program(["-m", "none"], log) as process:
            await announced(process, "at ", log)
