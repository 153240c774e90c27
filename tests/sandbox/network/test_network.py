"""Sandboxes of this machine whose network is an allow-list."""

import sys

import pytest

from codin.sandbox import Limits, LocalSandboxProvider, SandboxSpec
from codin.sandbox.errors import SandboxUnavailable
from codin.sandbox.network import ProxyRoom
from codin.testing.escapes.user import as_nobody, can_be_somebody_else, home_of_nobody
from codin.testing.sandbox_conformance import NetworkConformance

pytestmark = pytest.mark.slow


class Local(NetworkConformance):
    @pytest.fixture
    async def listed_provider(self, room):
        provider = LocalSandboxProvider(network=room)
        yield provider
        await provider.close()


class TestLocalNetwork(Local):
    async def test_the_programs_that_people_use_find_the_proxy(self, listed, server):
        url = f"http://allowed.test:{server.port}/tool"
        assert (await listed.exec(["curl", "-sS", url])).stdout == b"hello from /tool"
        tunnel = await listed.exec(["curl", "-sS", "--proxytunnel", url])
        assert tunnel.stdout == b"hello from /tool"
        code = f"import httpx; print(httpx.get({url!r}).text)"
        assert (await listed.exec([sys.executable, "-c", code])).stdout == b"hello from /tool\n"
        refused = "import httpx; httpx.get('https://other.test')"
        told = (await listed.exec([sys.executable, "-c", refused])).stderr
        assert b"ProxyError: 403 codin: other.test:443" in told
        assert b'"other.test:443"]' in told

    async def test_what_the_code_preloads_does_not_get_at_the_door(self, listed):
        """What is started first inside obeys the variables of the command: what it gives is looked
        at, and no door is given for a broken one."""
        env = {"LD_PRELOAD": "/workspace/none.so", "PYTHONHOME": "/nowhere", "PYTHONPATH": "/x"}
        result = await listed.exec(["sh", "-c", "echo $PYTHONHOME"], env=env)
        assert result.stdout == b"/nowhere\n"

    async def test_limits_hold_beside_it(self, listed):
        from dataclasses import replace

        from codin.sandbox.errors import CommandNotFound, SandboxTimeout

        with pytest.raises(CommandNotFound):
            await listed.exec(["no-such-program"])
        with pytest.raises(SandboxTimeout):
            await listed.exec(["sleep", "9"], limits=replace(listed.limits, wall_seconds=0.5))
        assert (await listed.exec(["sh", "-c", "kill -9 $$"])).exit_code == -9


class TestMachineNetwork(Local):
    machine = True

    async def test_its_port_is_the_proxys_before_anybody_elses(self, listed):
        code = "import socket; socket.create_server(('127.0.0.1', 3128))"
        assert b"in use" in (await listed.exec([sys.executable, "-c", code])).stderr


@pytest.mark.skipif(
    not can_be_somebody_else(),
    reason="root with setpriv can also try what another user can; run by a user, all tests do",
)
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["TestLocalNetwork", "TestMachineNetwork"])
def test_another_user_passes_it_too(kind):
    with home_of_nobody() as home:
        options = ["-q", "-p", "no:cacheprovider", "--basetemp", str(home / "t")]
        done = as_nobody(home, "-m", "pytest", *options, f"{__file__}::{kind}")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


@pytest.mark.parametrize("machine", [False, True])
async def test_an_open_network_is_refused_and_why(provider, machine):
    spec = SandboxSpec(limits=Limits(network="open"), machine=machine)
    with pytest.raises(SandboxUnavailable, match=r"loopback; name what is needed"):
        await provider.create(spec)


async def test_without_an_allow_list_there_is_no_proxy(sandbox):
    assert b"3128" not in (await sandbox.exec(["env"])).stdout
    assert sandbox.refusals == ()


async def test_real_names_are_resolved_beside_the_platforms_own_work():
    """By threads of its own: a server of names that does not answer holds nobody else up."""
    room = ProxyRoom()
    target = "localhost"
    assert "127.0.0.1" in await room.destinations._look_up(target, 80)
    room.close()
