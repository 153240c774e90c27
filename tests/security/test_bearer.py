"""What comes after Bearer: three kinds, told apart, each verified in full."""

import base64
import json

import pytest
from security_people import ADMIN, USER

from codin.security import CredentialError, KeyRequest, SecurityStore

ME = "https://codin.example"


async def test_keys_and_tokens_give_their_principals(store: SecurityStore) -> None:
    bearers = store.bearers(ME)
    key, text = await store.keys.add(ADMIN, KeyRequest("robot", frozenset({"user"})))
    assert await bearers.principal_of_bearer(text) == key.principal
    issuer = store.issuer(ME)
    assert await bearers.principal_of_bearer(issuer.issue(USER)) == USER
    handed = issuer.exchange(USER, audience=ME, scopes=frozenset({"task.read"}), actor="peer")
    caller = await bearers.principal_of_bearer(handed)
    assert (caller.scopes, caller.actors) == ({"task.read"}, ("peer",))


def body(claims: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "credential",
    [
        "",
        "x",
        "..",
        "a.b.c",
        f"a.{body([])}.c",
        f"a.{body({'iss': ME})}.c",
        f"a.{body({'iss': {}})}.c",
        f"a.{body({'iss': 'https://else.example'})}.c",
        f"a.{base64.urlsafe_b64encode(b'[' * 9000).decode()}.c",
        "codin_",
        "\u00e9.\u00e9.\u00e9",
        "a." * 100_000,
        "\x00",
    ],
)
async def test_anything_else_is_one_error(store: SecurityStore, credential: str) -> None:
    with pytest.raises(CredentialError):
        await store.bearers(ME).principal_of_bearer(credential)
