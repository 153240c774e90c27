"""What every store of API keys must do. Subclass ``KeyStoreSuite`` in a test module, and give it
fixtures: ``clock``, a ``codin.testing.security.Clock``, and ``open_keys``, which opens a store over
the test's data that goes by the clock, as another process would::

    class TestMine(KeyStoreSuite):
        @pytest.fixture
        def open_keys(self, clock):
            return lambda: MyKeys(..., clock=clock)

Needs pytest with pytest-asyncio in automatic mode.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from codin.errors import InvalidInputError, NotFoundError
from codin.security import CredentialError, ForbiddenError
from codin.security.keys import KeyRequest, KeyStore
from codin.testing.security import ADMIN, OWNER, STRANGER, USER, Clock

REQUEST = KeyRequest("robot", frozenset({"user"}), frozenset({"agent.use:echo"}), 3600.0, "ci")

Open = Callable[[], KeyStore]


class KeyStoreSuite:
    """The contract of ``KeyStore``, one test a rule."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def keys(self, open_keys: Open) -> KeyStore:
        return open_keys()

    async def test_a_key_stands_for_its_principal(self, keys: KeyStore) -> None:
        key, text = await keys.add(ADMIN, REQUEST)
        found = await keys.principal_of(text)
        assert found == key.principal
        assert (found.tenant, found.subject) == ("acme", "robot")
        assert found.roles == {"user"}
        assert found.scopes == {"agent.use:echo"}

    async def test_its_secret_is_not_shown(self, keys: KeyStore) -> None:
        key, text = await keys.add(ADMIN, REQUEST)
        secret = text.removeprefix(f"codin_{key.id}_")
        assert len(secret) == 43
        assert secret not in repr(key)
        assert secret not in repr(await keys.list(ADMIN))

    async def test_what_is_not_a_key_is_refused(self, keys: KeyStore) -> None:
        key, text = await keys.add(ADMIN, REQUEST)
        other = "A" if text[-1] != "A" else "B"
        for wrong in ("", "codin_", text[:-1], text + "x", "codin_\u0661" + text[7:], "x" * 10**6):
            with pytest.raises(CredentialError, match="no API key of codin"):
                await keys.resolve(wrong)
        for wrong in (text[:-1] + other, f"codin_{'0' * 16}_{text[-43:]}"):
            with pytest.raises(CredentialError, match="is not known"):
                await keys.resolve(wrong)
        assert (await keys.resolve(text)).id == key.id

    async def test_it_ends_when_it_expires(self, keys: KeyStore, clock: Clock) -> None:
        _, text = await keys.add(ADMIN, REQUEST)
        clock.now += 3599.9
        await keys.resolve(text)
        clock.now += 0.1
        with pytest.raises(CredentialError, match="has expired"):
            await keys.resolve(text)

    async def test_it_ends_when_it_is_revoked_here_and_elsewhere(
        self, keys: KeyStore, open_keys: Open, clock: Clock
    ) -> None:
        key, text = await keys.add(ADMIN, REQUEST)
        await keys.resolve(text)  # remembered from here on
        revoked = await keys.revoke(ADMIN, key.id)
        assert revoked.revoked == clock.now
        with pytest.raises(CredentialError, match="has been revoked"):
            await keys.resolve(text)
        clock.now += 5
        assert (await keys.revoke(ADMIN, key.id)).revoked == revoked.revoked
        with pytest.raises(CredentialError, match="has been revoked"):
            await open_keys().resolve(text)

    async def test_another_process_learns_of_a_revocation_soon(
        self, keys: KeyStore, open_keys: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = open_keys()
        key, text = await keys.add(ADMIN, REQUEST)
        await other.resolve(text)
        await keys.revoke(ADMIN, key.id)
        later = time.monotonic() + 2.0
        monkeypatch.setattr("codin.security.keys.time.monotonic", lambda: later)
        with pytest.raises(CredentialError, match="has been revoked"):
            await other.resolve(text)

    async def test_the_latest_key_is_listed_first(self, keys: KeyStore, clock: Clock) -> None:
        made = []
        for number in range(3):
            key, _ = await keys.add(ADMIN, KeyRequest(f"robot{number}", frozenset({"user"})))
            made.append(key)
            clock.now += 1
        ended = await keys.revoke(ADMIN, made[1].id)
        assert await keys.list(ADMIN) == [made[2], ended, made[0]]

    async def test_what_was_begun_with_a_key_stands_and_falls_with_it(
        self, keys: KeyStore, open_keys: Open, clock: Clock
    ) -> None:
        key, text = await keys.add(ADMIN, REQUEST)
        begun = await keys.principal_of(text)
        assert await keys.standing(begun) == begun
        narrow = replace(begun, roles=frozenset({"user", "owner"}), scopes=frozenset())
        assert await keys.standing(narrow) == begun, "never more than the key gives"
        less = replace(begun, scopes=frozenset({"nothing"}))
        assert (await keys.standing(less)).scopes == {"nothing"}, "nor more than it had"
        assert await keys.standing(USER) == USER, "who came without a key has none to lose"
        for other in (replace(begun, tenant="other"), replace(begun, key="0" * 16)):
            with pytest.raises(CredentialError, match="is not there any more"):
                await keys.standing(other)
        await open_keys().revoke(ADMIN, key.id)
        with pytest.raises(CredentialError, match=f"the API key {key.id} has been revoked"):
            await keys.standing(begun)
        _, text = await keys.add(ADMIN, REQUEST)
        begun = await keys.principal_of(text)
        clock.now += 3600
        with pytest.raises(CredentialError, match="has expired"):
            await keys.standing(begun)

    async def test_tenants_do_not_see_each_others_keys(self, keys: KeyStore) -> None:
        key, text = await keys.add(ADMIN, REQUEST)
        assert [each.id for each in await keys.list(ADMIN)] == [key.id]
        assert await keys.list(STRANGER) == []
        for name in (key.id, "nowhere", "a\0b", "\ud800", "'; DROP TABLE api_key; --"):
            with pytest.raises(NotFoundError, match="there is no key"):
                await keys.revoke(STRANGER, name)
        await keys.resolve(text)

    async def test_managing_keys_is_a_permission(self, keys: KeyStore) -> None:
        key, _ = await keys.add(ADMIN, REQUEST)
        with pytest.raises(ForbiddenError):
            await keys.add(USER, REQUEST)
        with pytest.raises(ForbiddenError):
            await keys.list(USER)
        with pytest.raises(ForbiddenError):
            await keys.revoke(USER, key.id)
        with pytest.raises(ForbiddenError, match="may not give"):
            await keys.add(ADMIN, KeyRequest("robot", frozenset({"owner"})))
        await keys.add(OWNER, KeyRequest("robot", frozenset({"owner"})))

    async def test_a_key_made_with_narrow_scopes_is_as_narrow(self, keys: KeyStore) -> None:
        giver = ADMIN.narrowed(frozenset({"auth.keys", "tool.call:x"}))
        with pytest.raises(ForbiddenError):
            await keys.add(giver, KeyRequest("r", frozenset({"user"}), frozenset({"tool.call:*"})))
        key, _ = await keys.add(giver, KeyRequest("r", frozenset({"user"})))
        assert key.scopes == {"auth.keys", "tool.call:x"}

    @pytest.mark.parametrize(
        ("request_", "said"),
        [
            (KeyRequest(" ", frozenset({"user"})), "needs a subject"),
            (KeyRequest("x" * 201, frozenset({"user"})), "needs a subject"),
            (KeyRequest("a\0b", frozenset({"user"})), "cannot be stored"),
            (KeyRequest("r", frozenset({"user"}), note="\ud800"), "cannot be stored"),
            (KeyRequest("r", frozenset()), "needs a role"),
            (KeyRequest("r", frozenset({"root"})), "there is no role"),
            (KeyRequest("r", frozenset({"user"}), seconds=0), "live for a time"),
            (KeyRequest("r", frozenset({"user"}), frozenset({"a?"})), "is no scope"),
        ],
    )
    async def test_what_cannot_be_a_key(
        self, keys: KeyStore, request_: KeyRequest, said: str
    ) -> None:
        with pytest.raises(InvalidInputError, match=said):
            await keys.add(ADMIN, request_)
        assert await keys.list(ADMIN) == []
