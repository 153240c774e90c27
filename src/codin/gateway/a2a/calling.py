"""What a request over HTTP says besides its parameters (A2A 1.0, section 3.2.6)."""

from __future__ import annotations

import re

from a2a.server.context import ServerCallContext
from a2a.utils.constants import VERSION_HEADER
from a2a.utils.errors import InvalidParamsError, VersionNotSupportedError
from starlette.requests import Request

from codin.gateway.auth import CallContexts, principal_of
from codin.task.handler import CARD_URL
from codin.task.updates import LAST_EVENT_ID

OLD_VERSION = "0.3"
_CURRENT = re.compile(r"1\.0(\.\d{1,9})?")
_OLD = re.compile(r"0\.3(\.\d{1,9})?")


class AgentCalls(CallContexts):
    """The call contexts of the agent at a path below ``public_url``, if there is one."""

    def __init__(self, path: str, public_url: str | None = None) -> None:
        self._path = path
        self._public_url = public_url

    def build(self, request: Request) -> ServerCallContext:
        context = super().build(request)
        context.state[CARD_URL] = address_of(request, self._path, self._public_url)
        seen = request.headers.get("last-event-id")
        if seen is not None:
            context.state[LAST_EVENT_ID] = seen
        return context


def address_of(request: Request, path: str, public_url: str | None = None) -> str:
    """Where the agent at ``path`` is reached: below ``public_url``, else where the caller says
    that it reached it, which a tunnel may have changed."""
    # the guard lets nobody in without a Host
    base = public_url or f"{request.scope['scheme']}://{request.headers.get('host', '')}"
    return f"{base.rstrip('/')}{path}/"


def version_of(request: Request) -> str:
    """The version of the protocol that the caller speaks. None named is 0.3 (section 3.6.2)."""
    named = request.headers.get(VERSION_HEADER) or request.query_params.get(VERSION_HEADER)
    return (named or OLD_VERSION).strip()


def is_old(version: str) -> bool:
    """Whether the caller speaks 0.3."""
    return _OLD.fullmatch(version) is not None


def check_version(version: str) -> None:
    """Return when the caller speaks 1.0; a patch number changes nothing (section 3.6).

    Raises:
        VersionNotSupportedError: it does not.
    """
    if _CURRENT.fullmatch(version) is None:
        raise VersionNotSupportedError(
            f"A2A version {version[:20]!r} is not served here: send {VERSION_HEADER}: 1.0"
        )


def tenant_is_known(request: Request, tenant: str) -> bool:
    """Whether ``tenant`` is that of the caller, the only one that it can see. No interface here
    declares one, so none has to be named."""
    return tenant in {"", principal_of(request).tenant}


def check_tenant(request: Request, tenant: str) -> None:
    """Return when the caller may name ``tenant``.

    Raises:
        InvalidParamsError: there is no such tenant for it.
    """
    if not tenant_is_known(request, tenant):
        raise InvalidParamsError(f"there is no tenant {tenant[:100]!r}: send none, or your own")
