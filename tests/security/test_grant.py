"""A run's token: good for its run, until its time, and kept as a hash only."""

import pytest

from codin.security import LOCAL_USER, GrantError, RunGrant, RunGrants


def grant(expires_at: float) -> RunGrant:
    return RunGrant("t1", "g1", "c1", "scout", LOCAL_USER, frozenset({"read_file"}), expires_at)


def test_a_token_resolves_to_its_grant_until_it_is_revoked() -> None:
    grants = RunGrants(clock=lambda: 10.0)
    token = grants.issue(grant(20.0))
    assert grants.resolve(token).task_id == "t1"
    grants.revoke(token)
    with pytest.raises(GrantError, match="not known"):
        grants.resolve(token)


def test_a_token_ends_with_its_time() -> None:
    now = 10.0
    grants = RunGrants(clock=lambda: now)
    token = grants.issue(grant(20.0))
    now = 20.0
    with pytest.raises(GrantError, match="expired"):
        grants.resolve(token)


def test_no_token_is_kept() -> None:
    grants = RunGrants()
    token = grants.issue(grant(1e12))
    assert token not in repr(vars(grants))
