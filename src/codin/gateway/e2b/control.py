"""E2B's own API: sandboxes are made, listed, asked about, given time, and ended."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from codin.gateway.auth import principal_of
from codin.gateway.e2b.body import object_of
from codin.gateway.e2b.errors import BadRequest, NotServed, NotThere
from codin.gateway.e2b.sandboxes import TEMPLATES, SandboxService, ServedSandbox, Wanted
from codin.gateway.responses import FastJson

ENVD_VERSION = "0.6.4"
"""The version of envd whose calls are answered."""

_DEFAULT_SECONDS = {"/sandboxes": 15, "/v2/sandboxes": 300}
_ANY = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_MOST_LISTED = 100
_MAX_PAIRS = 64
_MAX_TEXT = 32 * 1024
# What a request may say besides what is served, as long as it asks for nothing by it.
_NOT_SERVED: Mapping[str, Callable[[Any], bool]] = {
    "autoPause": bool,
    "autoPauseMemory": lambda _: False,  # only says how to pause
    "autoResume": lambda value: bool(value and value.get("enabled", True)),
    "mcp": bool,
    "iam": bool,
    "volumeMounts": bool,
}
_SERVED = {
    *("templateID", "timeout", "metadata", "envVars", "secure"),
    *("allow_internet_access", "network"),
}


async def _create(request: Request) -> Response:
    service, given = _service(request), await object_of(request)
    default = _DEFAULT_SECONDS[request.url.path.removeprefix(request.scope.get("root_path", ""))]
    wanted = _wanted(given, default)
    key = request.headers.get("idempotency-key")
    digest = hashlib.sha256(repr(sorted(given.items())).encode()).hexdigest()
    principal, origin = principal_of(request), _origin(request)

    async def make() -> ServedSandbox:
        return await service.create(principal, wanted, origin=origin)

    served = await (make() if key is None else service.once(principal, key, digest, make))
    return FastJson(_connection(request, served), 201)


async def _list(request: Request) -> Response:
    query = request.query_params
    found = [each for each in _service(request).list(principal_of(request)) if _fits(each, query)]
    if query.get("order", "desc") == "desc":
        found.reverse()
    start = _number(query.get("nextToken"), "nextToken", default=0, least=0)
    count = _number(query.get("limit"), "limit", default=_MOST_LISTED, least=1)
    page = found[start : start + min(count, _MOST_LISTED)]
    headers = {}
    if start + len(page) < len(found):
        headers["x-next-token"] = str(start + len(page))
    return FastJson([_listed(request, each) for each in page], headers=headers)


async def _get(request: Request) -> Response:
    served = _own(request)
    detail = {
        **_listed(request, served),
        "envdAccessToken": served.token,
        "domain": _domain(request),
        "allowInternetAccess": served.internet,
        "lifecycle": {"autoResume": False, "onTimeout": "kill"},
    }
    return FastJson(detail)


async def _kill(request: Request) -> Response:
    identity = request.path_params["sandbox"]
    await _service(request).kill(principal_of(request), identity, origin=_origin(request))
    return Response(status_code=204)


async def _timeout(request: Request) -> Response:
    served, given = _own(request), await object_of(request)
    _service(request).set_end(served, _seconds(given.get("timeout"), default=15, least=0))
    return Response(status_code=204)


async def _refresh(request: Request) -> Response:
    served, given = _own(request), await object_of(request)
    seconds = _seconds(given.get("duration"), default=15, least=0)
    _service(request).set_end(served, seconds, extend=True)
    return Response(status_code=204)


async def _connect(request: Request) -> Response:
    served, given = _own(request), await object_of(request)
    seconds = _seconds(given.get("timeout"), default=300, least=0)
    _service(request).set_end(served, seconds, extend=True)
    return FastJson(_connection(request, served))


async def _not_served(request: Request) -> Response:
    if "sandbox" in request.path_params:
        _own(request)  # what is somebody else's looks as if it were not there
    raise NotServed(f"{request.method} {request.url.path} is not implemented by this service")


def _wanted(given: Mapping[str, Any], default: int) -> Wanted:
    for name, value in given.items():
        asks = _NOT_SERVED.get(name, bool)
        if name not in _SERVED and asks(value):
            raise NotServed(f"{name} is not implemented by this service")
    template = given.get("templateID")
    if not isinstance(template, str) or template not in TEMPLATES:
        raise NotThere(
            f"template {template!r:.80} not found: this service has {', '.join(sorted(TEMPLATES))}"
        )
    return Wanted(
        template=template,
        timeout=_seconds(given.get("timeout"), default=default, least=1),
        metadata=_texts(given, "metadata"),
        envs=_texts(given, "envVars"),
        internet=_internet(given),
    )


def _internet(given: Mapping[str, Any]) -> bool | None:
    """Whether the outside is asked for: all of it never is to be had, none of it always."""
    asked, network = given.get("allow_internet_access"), given.get("network") or {}
    if not isinstance(asked, bool | None) or not isinstance(network, dict):
        raise BadRequest("allow_internet_access is true or false, network an object")
    if asked:
        raise NotServed(
            "sandboxes of this service reach no more of the internet than its operator lists"
        )
    for name, value in network.items():
        if value and name not in {"denyOut", "allowPublicTraffic"}:
            raise NotServed(f"network.{name} is not implemented by this service")
    return asked


def _texts(given: Mapping[str, Any], name: str) -> Mapping[str, str]:
    found = given.get(name) or {}
    if not isinstance(found, dict) or len(found) > _MAX_PAIRS:
        raise BadRequest(f"{name} is a map of at most {_MAX_PAIRS} texts")
    for key, value in found.items():
        if not isinstance(value, str) or len(key) + len(value) > _MAX_TEXT:
            raise BadRequest(f"{name}.{key[:40]} is no text of at most {_MAX_TEXT} characters")
        if "\0" in key + value or (name == "envVars" and (not key or "=" in key)):
            raise BadRequest(f"{name}.{key[:40]!r} is no name and value of a variable")
    return found


def _fits(served: ServedSandbox, query: Mapping[str, str]) -> bool:
    states = [state for state in query.get("state", "").split(",") if state]
    if states and "running" not in states:
        return False
    if (template := query.get("template")) and served.template != template:
        return False
    if (after := query.get("startedAfter")) and served.started < _moment(after):
        return False
    wanted = parse_qsl(query.get("metadata", ""), keep_blank_values=True)
    return all(served.metadata.get(unquote(key)) == unquote(value) for key, value in wanted)


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise BadRequest(f"startedAfter is no date and time: {text[:40]!r}") from None


def _number(text: str | None, name: str, *, default: int, least: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
        raise BadRequest(f"{name} is no number from {least} on: {text[:40]!r}")
    return int(text)


def _seconds(value: Any, *, default: int, least: int) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise BadRequest(f"a timeout is a number of seconds from {least} on, not {value!r:.40}")
    return value


def _connection(request: Request, served: ServedSandbox) -> dict[str, Any]:
    return {
        "sandboxID": served.id,
        "templateID": served.template,
        "clientID": "codin",
        "envdVersion": ENVD_VERSION,
        "envdAccessToken": served.token,
        "trafficAccessToken": served.traffic_token,
        "domain": _domain(request),
    }


def _listed(request: Request, served: ServedSandbox) -> dict[str, Any]:
    service = _service(request)
    return {
        "sandboxID": served.id,
        "templateID": served.template,
        "alias": served.template,
        "clientID": "codin",
        "envdVersion": ENVD_VERSION,
        "startedAt": _told(served.started),
        "endAt": _told(served.ends),
        "cpuCount": service.cpu_count,
        "memoryMB": service.settings.memory_mb,
        "diskSizeMB": service.settings.disk_mb,
        "metadata": dict(served.metadata),
        "state": "running",
    }


def _told(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _domain(request: Request) -> str:
    return _service(request).settings.domain or request.headers.get("host", "localhost")


def _own(request: Request) -> ServedSandbox:
    return _service(request).get(principal_of(request), request.path_params["sandbox"])


def _service(request: Request) -> SandboxService:
    service: SandboxService = request.app.state.service
    return service


def _origin(request: Request) -> str:
    return request.client.host if request.client else ""


def _routes() -> Sequence[Route]:
    one = "/sandboxes/{sandbox}"
    served = [
        Route(f"{version}/sandboxes{path}", endpoint, methods=[method])
        for version in ("", "/v2")
        for path, method, endpoint in (
            ("", "POST", _create),
            ("", "GET", _list),
            ("/{sandbox}/connect", "POST", _connect),
        )
    ]
    return [
        *served,
        Route("/sandboxes/metrics", _not_served, methods=_ANY),
        Route(one, _get, methods=["GET"]),
        Route(one, _kill, methods=["DELETE"]),
        Route(f"{one}/timeout", _timeout, methods=["POST"]),
        Route(f"{one}/refreshes", _refresh, methods=["POST"]),
        Route("/sandboxes/{sandbox}/{rest:path}", _not_served, methods=_ANY),
        Route("/v2/sandboxes/{sandbox}/{rest:path}", _not_served, methods=_ANY),
    ]


# the last is for what E2B has, or may have, besides: templates, volumes, snapshots, secrets
ROUTES = [*_routes(), Route("/{rest:path}", _not_served, methods=_ANY)]
