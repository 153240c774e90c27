"""API keys: shown once, of one tenant, and over when they are over."""

import sqlite3
import stat
from pathlib import Path

import pytest
from security_people import ADMIN, OWNER, STRANGER, USER, Clock

from codin.errors import InvalidInputError, NotFoundError
from codin.security import CredentialError, ForbiddenError, KeyRequest, SecurityStore
from codin.security.errors import SecurityFailure

REQUEST = KeyRequest("robot", frozenset({"user"}), frozenset({"agent.use:echo"}), 3600.0, "ci")


async def test_a_key_stands_for_its_principal(store: SecurityStore) -> None:
    key, text = await store.keys.add(ADMIN, REQUEST)
    found = await store.keys.principal_of(text)
    assert found == key.principal
    assert (found.tenant, found.subject) == ("acme", "robot")
    assert found.roles == {"user"}
    assert found.scopes == {"agent.use:echo"}


async def test_its_secret_is_kept_nowhere(store: SecurityStore, tmp_path: Path) -> None:
    key, text = await store.keys.add(ADMIN, REQUEST)
    secret = text.removeprefix(f"codin_{key.id}_")
    assert len(secret) == 43
    assert secret not in repr(key)
    await store.close()
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or secret.encode() not in file.read_bytes()
    assert stat.S_IMODE((tmp_path / "home" / "security.db").stat().st_mode) == 0o600


async def test_what_is_not_a_key_is_refused(store: SecurityStore) -> None:
    key, text = await store.keys.add(ADMIN, REQUEST)
    other = "A" if text[-1] != "A" else "B"
    for wrong in ("", "codin_", text[:-1], text + "x", "codin_\u0661" + text[7:], "x" * 10**6):
        with pytest.raises(CredentialError, match="no API key of codin"):
            await store.keys.resolve(wrong)
    for wrong in (text[:-1] + other, f"codin_{'0' * 16}_{text[-43:]}"):
        with pytest.raises(CredentialError, match="is not known"):
            await store.keys.resolve(wrong)
    assert (await store.keys.resolve(text)).id == key.id


async def test_it_ends_when_it_expires(store: SecurityStore, clock: Clock) -> None:
    _, text = await store.keys.add(ADMIN, REQUEST)
    clock.now += 3599.9
    await store.keys.resolve(text)
    clock.now += 0.1
    with pytest.raises(CredentialError, match="has expired"):
        await store.keys.resolve(text)


async def test_it_ends_when_it_is_revoked_here_and_elsewhere(
    store: SecurityStore, tmp_path: Path, clock: Clock
) -> None:
    key, text = await store.keys.add(ADMIN, REQUEST)
    await store.keys.resolve(text)  # remembered from here on
    revoked = await store.keys.revoke(ADMIN, key.id)
    assert revoked.revoked == clock.now
    with pytest.raises(CredentialError, match="has been revoked"):
        await store.keys.resolve(text)
    clock.now += 5
    assert (await store.keys.revoke(ADMIN, key.id)).revoked == revoked.revoked
    other = SecurityStore(tmp_path / "home", clock=clock)
    try:
        with pytest.raises(CredentialError, match="has been revoked"):
            await other.keys.resolve(text)
    finally:
        await other.close()


async def test_another_process_learns_of_a_revocation_soon(
    store: SecurityStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, text = await store.keys.add(ADMIN, REQUEST)
    other = SecurityStore(tmp_path / "home", clock=store._clock)
    try:
        await other.keys.resolve(text)
        await store.keys.revoke(ADMIN, key.id)
        import time

        later = time.monotonic() + 2.0
        monkeypatch.setattr("codin.security.keys.time.monotonic", lambda: later)
        with pytest.raises(CredentialError, match="has been revoked"):
            await other.keys.resolve(text)
    finally:
        await other.close()


async def test_tenants_do_not_see_each_others_keys(store: SecurityStore) -> None:
    key, text = await store.keys.add(ADMIN, REQUEST)
    assert [each.id for each in await store.keys.list(ADMIN)] == [key.id]
    assert await store.keys.list(STRANGER) == []
    with pytest.raises(NotFoundError, match="there is no key"):
        await store.keys.revoke(STRANGER, key.id)
    await store.keys.resolve(text)


async def test_managing_keys_is_a_permission(store: SecurityStore) -> None:
    key, _ = await store.keys.add(ADMIN, REQUEST)
    with pytest.raises(ForbiddenError):
        await store.keys.add(USER, REQUEST)
    with pytest.raises(ForbiddenError):
        await store.keys.list(USER)
    with pytest.raises(ForbiddenError):
        await store.keys.revoke(USER, key.id)
    with pytest.raises(ForbiddenError, match="may not give"):
        await store.keys.add(ADMIN, KeyRequest("robot", frozenset({"owner"})))
    await store.keys.add(OWNER, KeyRequest("robot", frozenset({"owner"})))


async def test_a_key_made_with_narrow_scopes_is_as_narrow(store: SecurityStore) -> None:
    giver = ADMIN.narrowed(frozenset({"auth.keys", "tool.call:x"}))
    with pytest.raises(ForbiddenError):
        await store.keys.add(
            giver, KeyRequest("r", frozenset({"user"}), frozenset({"tool.call:*"}))
        )
    key, _ = await store.keys.add(giver, KeyRequest("r", frozenset({"user"})))
    assert key.scopes == {"auth.keys", "tool.call:x"}


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (KeyRequest(" ", frozenset({"user"})), "needs a subject"),
        (KeyRequest("x" * 201, frozenset({"user"})), "needs a subject"),
        (KeyRequest("r", frozenset()), "needs a role"),
        (KeyRequest("r", frozenset({"root"})), "there is no role"),
        (KeyRequest("r", frozenset({"user"}), seconds=0), "live for a time"),
        (KeyRequest("r", frozenset({"user"}), frozenset({"a?"})), "is no scope"),
    ],
)
async def test_what_cannot_be_a_key(store: SecurityStore, request_: KeyRequest, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        await store.keys.add(ADMIN, request_)


async def test_a_file_of_a_newer_codin_is_left_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with sqlite3.connect(home / "security.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    store = SecurityStore(home)
    with pytest.raises(SecurityFailure, match="newer codin"):
        await store.keys.list(ADMIN)
    await store.close()
    with pytest.raises(SecurityFailure, match="closed"):
        await store.keys.list(ADMIN)
