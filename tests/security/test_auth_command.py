"""`codin auth`: what it prints, how it ends, and that a gateway's store sees what it did."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from codin.cli import cli
from codin.security import CredentialError, Principal, SecurityStore


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODIN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def auth(*arguments: str) -> Any:
    done = CliRunner().invoke(cli, ["auth", *arguments], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done


def rows(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in auth(*arguments, "--json").stdout.splitlines()]


def resolved(home: Path, text: str) -> Principal:
    async def resolve() -> Principal:
        store = SecurityStore(home)
        try:
            return await store.keys.principal_of(text)
        finally:
            await store.close()

    return asyncio.run(resolve())


def test_a_key_is_shown_once_and_works_until_it_is_revoked(home: Path) -> None:
    (made,) = rows(
        *("key", "add", "--subject", "robot", "--role", "user", "--role", "viewer"),
        *("--scope", "agent.use:echo", "--days", "2", "--note", "ci", "--tenant", "acme"),
    )
    assert resolved(home, made["key"]) == Principal(
        "acme", "robot", frozenset({"user", "viewer"}), frozenset({"agent.use:echo"})
    )
    (listed,) = rows("key", "list", "--tenant", "acme")
    assert listed == {key: value for key, value in made.items() if key != "key"}
    assert listed["state"] == "in force"
    assert rows("key", "list") == []
    text = auth("key", "list", "--tenant", "acme").stdout
    assert made["key"] not in text
    assert made["id"] in text
    (revoked,) = rows("key", "revoke", made["id"], "--tenant", "acme")
    assert revoked["state"] == "revoked"
    with pytest.raises(CredentialError, match="revoked"):
        resolved(home, made["key"])


def test_without_json_only_the_key_is_on_stdout(home: Path) -> None:
    done = auth("key", "add", "--subject", "robot", "--role", "user")
    assert resolved(home, done.stdout.strip()).subject == "robot"
    assert "not shown again" in done.stderr


def test_what_was_done_is_in_the_audit_log(home: Path) -> None:
    (made,) = rows("key", "add", "--subject", "robot", "--role", "user")
    auth("key", "revoke", made["id"])
    auth("rotate")

    async def read() -> list[tuple[str, str]]:
        store = SecurityStore(home)
        try:
            owner = Principal("local", "o", frozenset({"owner"}))
            records = await store.audit.list(owner)
        finally:
            await store.close()
        return [(r.entry.action, str(r.entry.detail.get("did"))) for r in reversed(records)]

    assert asyncio.run(read()) == [
        *(("auth.keys", "add"), ("auth.keys", "revoke")),
        *(("auth.rotate", "None"), ("auth.rotate", "None")),
    ]


def test_the_audit_log_is_shown(home: Path) -> None:
    [made] = rows("key", "add", "--json", "--subject", "ada", "--role", "user")
    [seen] = rows("audit", "--json")
    assert (seen["who"], seen["did"], seen["to"]) == ("local", "auth.keys", made["id"])
    assert seen["allowed"] is True
    assert "auth.keys" in auth("audit").output


def test_rotation_says_which_keys_sign_now(home: Path) -> None:
    first = rows("rotate", "--keys", "tokens")
    assert [(row["keys"], row["algorithm"], row["accepted"]) for row in first] == [
        ("tokens", "Ed25519", 2)
    ]
    (last,) = rows("rotate", "--keys", "tokens", "--drop-old")
    assert last["accepted"] == 1
    store = SecurityStore(home)
    assert store.token_ring.signing_key().id == last["id"]
    assert [row["keys"] for row in rows("rotate")] == ["tokens", "cards"]


def test_roles_are_told(home: Path) -> None:
    told = {row["role"]: row["permissions"] for row in rows("roles")}
    assert set(told) == {"owner", "admin", "operator", "user", "viewer", "service"}
    assert "auth.keys" in told["admin"]
    assert "auth.keys" not in told["operator"]
    assert "tool.call" in auth("roles").stdout
    assert not home.exists(), "nothing is made to answer that"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["key", "add", "--subject", "x", "--role", "root"], 2, "there is no role 'root'"),
        (["key", "add", "--subject", "", "--role", "user"], 2, "a key needs a subject"),
        (["key", "add", "--subject", "x"], 2, "Missing option '--role'"),
        (["key", "add", "--subject", "x", "--role", "user", "--scope", "a?"], 2, "is no scope"),
        (["key", "revoke", "none"], 1, "there is no key 'none'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    home: Path, arguments: list[str], code: int, said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "codin", "auth", *arguments],
        env=os.environ | {"CODIN_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
