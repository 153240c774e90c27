"""Narrowing never widens, whatever is narrowed by whatever."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codin.errors import InvalidInputError
from codin.security import DEFAULT_ROLES, Principal, RoleAuthorizer
from codin.security.scopes import NOTHING, checked_scopes, covers

AUTHORIZER = RoleAuthorizer(DEFAULT_ROLES)
names = st.text(alphabet="ab.:", min_size=1, max_size=6)
scopes = st.frozensets(st.builds(lambda name, star: name + star, names, st.sampled_from(["", "*"])))


def test_disjoint_scopes_leave_nothing_rather_than_everything() -> None:
    caller = Principal("t", "s", frozenset({"owner"}), frozenset({"agent.use:a"}))
    narrowed = caller.narrowed(frozenset({"tool.call:b"}))
    assert narrowed.scopes == NOTHING
    for permission in ("agent.use:a", "tool.call:b", "nothing", "x.y"):
        assert AUTHORIZER.allows(narrowed, permission) is (permission == "nothing")


def test_a_pattern_is_cut_to_what_is_in_both() -> None:
    caller = Principal("t", "s", frozenset({"owner"}), frozenset({"tool.call:*"}))
    assert caller.narrowed(frozenset({"tool.call:a", "agent.use:b"})).scopes == {"tool.call:a"}
    assert caller.narrowed(frozenset({"*"})).scopes == {"tool.call:*"}


@given(first=scopes, second=scopes, permission=names)
@example(first=frozenset({"a"}), second=frozenset({"b"}), permission="a")
def test_what_is_left_was_allowed_before_and_is_all_that_both_allow(
    first: frozenset[str], second: frozenset[str], permission: str
) -> None:
    def allows(scopes: frozenset[str]) -> bool:
        return AUTHORIZER.allows(Principal("t", "s", frozenset({"owner"}), scopes), permission)

    left = Principal("t", "s", frozenset({"owner"}), first).narrowed(second).scopes
    assert allows(left) == (allows(first) and allows(second))


@given(
    wide=st.text(alphabet="ab?*[]", max_size=5),
    narrow=st.text(alphabet="ab?*[]", max_size=5),
    permission=st.text(alphabet="ab", max_size=5),
)
@example(wide="a?", narrow="a*", permission="abb")
@example(wide="a[*]", narrow="a*", permission="ab")
def test_covering_is_never_claimed_wrongly(wide: str, narrow: str, permission: str) -> None:
    def allows(pattern: str) -> bool:
        return RoleAuthorizer({"r": frozenset({pattern})}).allows(
            Principal("t", "s", frozenset({"r"})), permission
        )

    if covers(wide, narrow) and allows(narrow):
        assert allows(wide)


@pytest.mark.parametrize("scope", ["", "a*b", "a?", "[a]", "a b", "*a", "x" * 300, "**"])
def test_scopes_have_one_form(scope: str) -> None:
    with pytest.raises(InvalidInputError, match="is no scope"):
        checked_scopes([scope])
