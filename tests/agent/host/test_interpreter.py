"""A host with a Python that somebody else has set up: its packages stay as they are."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from host_platform import Platform, platform

from codin.agent.events import Completed
from codin.agent.host import HostStartError
from codin.agent.host.interpreter import look_at, understood
from codin.agent.host.packages import Environment
from codin.sandbox.packages.uv import find

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

VERSIONS = str(Path(__file__).with_name("versions.py"))

MakeVenv = Callable[..., str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place() -> AsyncIterator[Platform]:
    with tempfile.TemporaryDirectory("", "cd-") as folder:
        async with platform(Path(folder)) as made:
            yield made


@pytest.fixture
def venv(tmp_path: Path) -> MakeVenv:
    """Makes a virtual environment with packages, as people do; gives its Python."""

    def make(*packages: str, made_with: str = sys.executable) -> str:
        python = tmp_path / "venv" / "bin" / "python"
        subprocess.run([find(), "venv", "-q", "-p", made_with, tmp_path / "venv"], check=True)
        if packages:
            subprocess.run([find(), "pip", "install", "-q", "-p", python, *packages], check=True)
        return str(python)

    return make


def listed(python: str) -> str:
    asked = [find(), "pip", "freeze", "-q", "-p", python]
    return subprocess.run(asked, capture_output=True, check=True).stdout.decode()


async def test_its_packages_are_its_own_and_codin_s_are_beside_them(
    place: Platform, venv: MakeVenv
) -> None:
    python = venv("httpx==0.28.1", "anyio==4.11.0", "mcp==1.27.0")
    before, told = listed(python), []
    named = Environment(python=python)
    host = await place.hosts.start([VERSIONS], environment=named, say=told.append)
    outcome = await place.run(host.agents[0], "mcp anyio a2a-sdk langgraph")
    assert outcome.end == Completed()
    seen = dict(line.split() for line in outcome.text.splitlines())
    assert (seen["mcp"], seen["anyio"]) == ("1.27.0", "4.11.0")
    assert seen["a2a-sdk"] >= "1.3"
    assert seen["langgraph"] == "-"
    assert listed(python) == before
    assert host.agents[0].info.environment == f"python {python}"
    assert all(line.startswith("agent host versions: ") for line in told)
    await place.hosts.end(host)


def other_python() -> str | None:
    """Another version of Python, if this machine has one: beside this one, or on the path."""
    for minor in (12, 13, 14):
        name = f"python3.{minor}"
        beside = sorted(Path(sys.base_prefix).parent.glob(f"*/bin/{name}"))
        found = str(beside[-1]) if beside else shutil.which(name)
        if found and minor != sys.version_info.minor:
            return found
    return None


@pytest.mark.skipif(other_python() is None, reason="there is one version of Python here")
async def test_it_may_be_of_another_version(place: Platform, venv: MakeVenv) -> None:
    python = venv("anyio==4.11.0", made_with=other_python() or "")
    host = await place.hosts.start([VERSIONS], environment=Environment(python=python))
    seen = (await place.run(host.agents[0], "anyio")).text.split()
    assert seen[:2] == ["anyio", "4.11.0"]
    assert int(seen[-1]) != sys.version_info.minor
    await place.hosts.end(host)


async def test_what_a_host_does_not_go_with_is_said_and_left_alone(
    place: Platform, venv: MakeVenv
) -> None:
    python = venv("a2a-sdk==0.3.26")
    before = listed(python)
    with pytest.raises(HostStartError, match=r"(?s)does not go with.*a2a-sdk"):
        await place.hosts.start([VERSIONS], environment=Environment(python=python))
    assert listed(python) == before


async def test_what_is_no_python_is_said(place: Platform, tmp_path: Path) -> None:
    for python, why in (
        (str(tmp_path / "none" / "python"), "No such file"),
        ("/bin/true", "no Python that works"),
        (str(tmp_path), "Permission denied"),
    ):
        with pytest.raises(HostStartError, match=why):
            await place.hosts.start([VERSIONS], environment=Environment(python=python))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (b'"version": [3, 9]', "3.11 or newer"),
        (b'"implementation": "pypy"', "is pypy"),
        (b'"packages": 1', "no Python that works"),
    ],
)
async def test_a_python_that_cannot_be_used(changed: bytes, why: str) -> None:
    own = (await look_at(sys.executable)).model_dump_json().encode()
    said = b"{" + changed + b"," + own[1:]
    key = changed.partition(b":")[0]
    said = own[:-1] + b"," + changed + b"}"  # the last of one key counts
    assert key in own
    with pytest.raises(HostStartError, match=why):
        understood(said, b"", "this")


async def test_one_may_be_named_as_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert (await look_at("python3")).version == sys.version_info[:2]


async def test_versions_that_nobody_could_ask_for_are_passed_over() -> None:
    found = await look_at(sys.executable)
    odd = found.model_copy(update={"packages": {"one": "1.0", "": "2", "two": "not a version"}})
    assert odd.exact == ("one==1.0",)
