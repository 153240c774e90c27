"""`codin up --reload`: what is served follows the files, and one that breaks changes nothing."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

AGENT = """
from codin import wrap

async def shout(text: str) -> str:
    return text.upper()

agent = wrap(shout, id="shouter", description="{says}")
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a gateway, and the file with what it says besides."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CODIN", "OPENAI"))}
    env = kept | {
        "CODIN_HOME": str(tmp_path / "home"),
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "OPENAI_API_KEY": "none",
    }
    (tmp_path / "shouter.py").write_text(AGENT.format(says="first"))
    (tmp_path / "codin.toml").write_text("[[agents]]\nsource = 'shouter.py'\n")
    said = tmp_path / "said"
    with said.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "codin", "up", "--reload", "--port", "0"],
            cwd=tmp_path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http" in line, said.read_text()
        yield next(word for word in line.split() if word.startswith("http")), said
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def described(url: str) -> dict[str, str]:
    with urllib.request.urlopen(f"{url}/api/agents") as answer:
        return {row["id"]: row["description"] for row in json.load(answer)["agents"]}


def until(url: str, wanted: dict[str, str]) -> None:
    deadline = time.monotonic() + 30
    while (found := described(url)) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_files_and_settings_are_followed(gateway: tuple[str, Path], tmp_path: Path) -> None:
    url, said = gateway
    assert described(url) == {"shouter": "first"}
    (tmp_path / "shouter.py").write_text(AGENT.format(says="second"))
    until(url, {"shouter": "second"})
    with urllib.request.urlopen(f"{url}/agents/shouter/.well-known/agent-card.json") as card:
        assert json.load(card)["description"] == "second"
    (tmp_path / "shouter.py").write_text("def broken(:\n")
    deadline = time.monotonic() + 30
    while "kept as it was" not in said.read_text():
        assert time.monotonic() < deadline, said.read_text()
        time.sleep(0.1)
    assert described(url) == {"shouter": "second"}
    other = AGENT.replace('id="shouter"', 'id="other"').format(says="another")
    (tmp_path / "other.py").write_text(other)
    (tmp_path / "codin.toml").write_text("[[agents]]\nsource = 'other.py'\n")
    until(url, {"other": "another"})
    assert said.read_text().count("kept as it was") == 1
