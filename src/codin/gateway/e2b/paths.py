"""What every request to a sandbox says: which one, as which user, and by which path."""

from __future__ import annotations

import base64
import binascii
import posixpath
from typing import TYPE_CHECKING

from starlette.requests import Request

from codin.gateway.e2b.errors import BadRequest, NotServed

if TYPE_CHECKING:
    from codin.gateway.e2b.sandboxes import ServedSandbox

SANDBOX = "e2b_sandbox"
"""Key of the sandbox in a request's state."""

HOME = "/home/user"
"""The home of the user inside, where relative paths start."""

USER = "user"
"""Who runs commands and owns files inside."""


def sandbox_of(request: Request) -> ServedSandbox:
    """The sandbox that a request is for, as the guard found it."""
    served: ServedSandbox = request.scope["state"][SANDBOX]
    return served


def absolute(path: str) -> str:
    """A path inside, as E2B reads it: relative to the home, ``~`` is the home.

    Raises:
        BadRequest: no path can look so, or it is another user's home.
    """
    if "\0" in path:
        raise BadRequest("a path holds no zero byte")
    if path == "~" or path.startswith("~/"):
        path = path[2:]
    elif path.startswith("~"):
        raise BadRequest(f"there is no such home: {path[:100]!r}")
    return posixpath.normpath(posixpath.join(HOME, path))


def check_user(request: Request, name: str | None = None) -> None:
    """Return when the request is to run as the one user there is.

    Raises:
        NotServed: as somebody else.
    """
    if name is None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return
        try:
            name = base64.b64decode(given, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            raise BadRequest("the user cannot be read") from None
    if name not in {"", USER}:
        raise NotServed(f"everything runs as {USER!r} inside: there is no user {name[:40]!r}")
