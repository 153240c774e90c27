"""The tool of the team."""

import secrets

import codin


@codin.tool
def sign_in(name: str) -> dict[str, str]:
    """Sign in under a name and get a code that nobody else has.

    Args:
        name: the name of whoever signs in.
    """
    return {"name": name, "code": f"code-{secrets.token_hex(4)}"}
