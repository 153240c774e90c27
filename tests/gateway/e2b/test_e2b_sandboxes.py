"""Sandboxes by the official SDKs: made, listed, asked about, given time, ended."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from e2b import (
    AsyncSandbox,
    NotFoundException,
    RateLimitException,
    Sandbox,
    SandboxException,
    SandboxNotRunningException,
    SandboxQuery,
    SandboxState,
)
from e2b_service import Service, running

from codin.config import SandboxSettings

pytestmark = pytest.mark.slow


def test_a_sandbox_is_what_it_was_asked_to_be(service: Service) -> None:
    before = time.time()
    with Sandbox.create(
        timeout=120, metadata={"who": "me & you"}, envs={"GIVEN": "x y"}, **service.options
    ) as sandbox:
        info = sandbox.get_info()
        assert info.sandbox_id == sandbox.sandbox_id
        assert (info.template_id, info.state) == ("base", SandboxState.RUNNING)
        assert info.metadata == {"who": "me & you"}
        assert abs(info.started_at.timestamp() - before) < 20
        assert (info.end_at - info.started_at).total_seconds() == pytest.approx(120, abs=1)
        assert info.memory_mb == 1024
        assert sandbox.commands.run("echo $GIVEN").stdout == "x y\n"


def test_time_is_given_and_taken(service: Service) -> None:
    with Sandbox.create(timeout=60, **service.options) as sandbox:

        def left() -> float:
            return sandbox.get_info().end_at.timestamp() - time.time()

        sandbox.set_timeout(600)
        assert 590 < left() <= 600
        Sandbox.connect(sandbox.sandbox_id, timeout=30, **service.options)
        assert left() > 580, "a running sandbox keeps the longer time"
        Sandbox.connect(sandbox.sandbox_id, timeout=900, **service.options)
        assert 890 < left() <= 900
        sandbox.set_timeout(20)
        assert left() <= 20


def test_a_sandbox_ends_when_its_time_is_up(service: Service) -> None:
    sandbox = Sandbox.create(timeout=1, **service.options)
    assert sandbox.is_running()
    deadline = time.monotonic() + 10
    while sandbox.is_running():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with pytest.raises(SandboxNotRunningException):
        sandbox.commands.run("true")
    assert sandbox.kill() is False


def test_an_ended_sandbox_is_nowhere(service: Service) -> None:
    sandbox = Sandbox.create(**service.options)
    assert sandbox.kill() is True
    assert sandbox.is_running() is False
    assert sandbox.kill() is False
    for call in (
        sandbox.get_info,
        lambda: sandbox.set_timeout(10),
        lambda: Sandbox.connect(sandbox.sandbox_id, **service.options),
    ):
        with pytest.raises(NotFoundException):
            call()
    for call in (
        lambda: sandbox.commands.run("true"),
        lambda: sandbox.files.read("x"),
        lambda: sandbox.files.list("."),
    ):
        with pytest.raises(SandboxNotRunningException):
            call()


def test_what_runs_is_told_when_its_sandbox_ends(service: Service) -> None:
    sandbox = Sandbox.create(**service.options)
    handle = sandbox.commands.run("sleep 60", background=True)
    sandbox.kill()
    with pytest.raises(SandboxNotRunningException):
        handle.wait()


def test_lists_are_filtered_and_come_in_pages(service: Service) -> None:
    made = [
        Sandbox.create(metadata={"list": "yes", "n": str(n)}, **service.options) for n in range(5)
    ]
    try:
        query = SandboxQuery(metadata={"list": "yes"})
        pages = Sandbox.list(query=query, limit=2, order="asc", **service.options)
        found = []
        while pages.has_next:
            page = pages.next_items()
            assert len(page) <= 2
            found += [info.sandbox_id for info in page]
        assert found == [sandbox.sandbox_id for sandbox in made]
        newest = Sandbox.list(query=query, **service.options).next_items()
        assert [info.sandbox_id for info in newest] == found[::-1]
        one = SandboxQuery(metadata={"list": "yes", "n": "3"})
        [only] = Sandbox.list(query=one, **service.options).next_items()
        assert only.sandbox_id == made[3].sandbox_id
        paused = SandboxQuery(state=[SandboxState.PAUSED])
        assert Sandbox.list(query=paused, **service.options).next_items() == []
        other = SandboxQuery(template="other")
        assert Sandbox.list(query=other, **service.options).next_items() == []
    finally:
        for sandbox in made:
            sandbox.kill()


def test_connecting_from_elsewhere_finds_what_is_there(service: Service, shared: Sandbox) -> None:
    shared.files.write("kept.txt", "here")
    again = Sandbox.connect(shared.sandbox_id, **service.options)
    assert again.files.read("kept.txt") == "here"


def test_the_same_key_makes_one_sandbox(service: Service) -> None:
    one = Sandbox.create(idempotency_key="abc-1", **service.options)
    two = Sandbox.create(idempotency_key="abc-1", **service.options)
    try:
        assert one.sandbox_id == two.sandbox_id
        with pytest.raises(SandboxException, match="409"):
            Sandbox.create(idempotency_key="abc-1", metadata={"x": "y"}, **service.options)
    finally:
        one.kill()


async def test_the_async_half(service: Service) -> None:
    sandbox = await AsyncSandbox.create(metadata={"a": "b"}, **service.options)
    async with sandbox:
        assert await sandbox.is_running()
        assert (await sandbox.get_info()).metadata == {"a": "b"}
        await sandbox.set_timeout(100)
        ids = [info.sandbox_id for info in await AsyncSandbox.list(**service.options).next_items()]
        assert sandbox.sandbox_id in ids
    assert not await sandbox.is_running()


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("pause", lambda sandbox: sandbox.pause()),
        ("fork", lambda sandbox: sandbox.fork()),
        ("snapshots", lambda sandbox: sandbox.create_snapshot()),
        ("metrics", lambda sandbox: sandbox.get_metrics()),
        ("network", lambda sandbox: sandbox.update_network({"allow_out": ["1.1.1.1"]})),
    ],
)
def test_what_is_not_served_says_so(shared: Sandbox, name: str, call: object) -> None:
    with pytest.raises(SandboxException, match=f"501: .*{name} is not implemented"):
        call(shared)
    assert shared.is_running()


@pytest.mark.parametrize(
    "given",
    [
        {"lifecycle": {"on_timeout": "pause"}},
        {"allow_internet_access": True},
        {"network": {"allow_out": ["8.8.8.8"]}},
        {"mcp": {"time": {}}},
        {"volume_mounts": {"/data": "volume"}},
    ],
)
def test_what_no_sandbox_can_be_is_refused(service: Service, given: dict[str, object]) -> None:
    with pytest.raises(SandboxException, match=r"501: .*(not implemented|than its operator lists)"):
        Sandbox.create(**given, **service.options)


def test_what_asks_for_nothing_more_is_taken(service: Service) -> None:
    with Sandbox.create(
        allow_internet_access=False,
        secure=True,
        lifecycle={"on_timeout": "kill"},
        **service.options,
    ) as sandbox:
        assert sandbox.get_info().allow_internet_access is False


def test_an_unknown_template(service: Service) -> None:
    with pytest.raises(SandboxException, match="404: template 'mine' not found"):
        Sandbox.create("mine", **service.options)


def test_templates_and_volumes_are_not_served(service: Service) -> None:
    from e2b import Template, Volume

    with pytest.raises(Exception, match="501"):
        Volume.create("v", **{k: v for k, v in service.options.items() if k != "sandbox_url"})
    options = {key: service.options[key] for key in ("api_url", "api_key")}
    with pytest.raises(Exception, match="501"):
        Template.build(Template().from_base_image(), alias="x", **options)


def test_a_caller_has_no_more_than_it_may(tmp_path: Path) -> None:
    with running(tmp_path, sandboxes=2) as service:
        one, _two = (Sandbox.create(**service.options) for _ in range(2))
        with pytest.raises(RateLimitException, match="as many as a caller may"):
            Sandbox.create(retries=0, **service.options)
        one.kill()
        Sandbox.create(**service.options)


def test_what_the_operator_lists_is_reached_and_nothing_else(tmp_path: Path) -> None:
    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"from outside")

        def log_message(self, *_: object) -> None:
            pass

    outside, other = (ThreadingHTTPServer(("127.0.0.1", 0), Hello) for _ in range(2))
    listed = f"127.0.0.1:{outside.server_port}"
    for server in (outside, other):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    fetch = "import urllib.request as r; print(r.urlopen('http://{}', timeout=5).read().decode())"
    private = SandboxSettings(private_network=(listed,))
    try:
        with running(tmp_path, sandbox=private, network=(listed,)) as service:
            with Sandbox.create(**service.options) as sandbox:
                sandbox.files.write("get.py", fetch.format(listed))
                assert sandbox.commands.run("no_proxy= python3 get.py").stdout == "from outside\n"
                sandbox.files.write("no.py", fetch.format(f"127.0.0.1:{other.server_port}"))
                assert (
                    "from outside"
                    not in sandbox.commands.run("no_proxy= python3 no.py 2>&1 || true").stdout
                )
            with Sandbox.create(allow_internet_access=False, **service.options) as sandbox:
                sandbox.files.write("get.py", fetch.format(listed))
                told = sandbox.commands.run("no_proxy= python3 get.py 2>&1 || true").stdout
                assert "from outside" not in told
    finally:
        outside.shutdown()
        other.shutdown()
