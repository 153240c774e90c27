"""The code interpreter's service: ``/execute`` and ``/contexts``."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from codin.gateway.e2b.body import object_of
from codin.gateway.e2b.errors import BadRequest, told
from codin.gateway.e2b.interpreter import CodeContext, Event
from codin.gateway.e2b.paths import absolute, sandbox_of
from codin.gateway.e2b.streaming import BrokenOff, MessageStream
from codin.gateway.responses import FastJson
from codin.jsontext import encoded
from codin.sandbox.errors import SandboxGone


async def _execute(request: Request) -> Response:
    given = await object_of(request)
    code, env = given.get("code"), given.get("env_vars") or {}
    if not isinstance(code, str):
        raise BadRequest("code is a text")
    if not isinstance(env, dict) or not all(isinstance(value, str) for value in env.values()):
        raise BadRequest("env_vars is a map of texts")
    context = _context(request, given)
    events = _lines(request, context.run(code, env))
    return MessageStream(events, media_type="application/x-ndjson")


def _context(request: Request, given: dict[str, Any]) -> CodeContext:
    contexts = sandbox_of(request).contexts
    identity, language = given.get("context_id"), given.get("language")
    if identity and language:
        raise BadRequest("give a context or a language, not both")
    if identity:
        return contexts.find(str(identity))
    return contexts.default(str(language or "python").lower())


async def _lines(
    request: Request, events: AsyncGenerator[Event, None]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        try:
            async for event in events:
                yield encoded(event) + b"\n"
        except SandboxGone as error:
            raise BrokenOff from error  # the SDK asks then whether the sandbox is there
        except Exception as error:
            name = type(error).__name__
            value = str(told(error, sandbox_of(request).id))
            failed = {"type": "error", "name": name, "value": value, "traceback": value}
            yield encoded(failed) + b"\n"


async def _create(request: Request) -> Response:
    given = await object_of(request)
    cwd, language = given.get("cwd"), given.get("language") or "python"
    if not isinstance(language, str) or not isinstance(cwd, str | None):
        raise BadRequest("language and cwd are texts")
    path = absolute(cwd) if cwd else None
    return FastJson(_described(sandbox_of(request).contexts.create(language.lower(), path)))


async def _list(request: Request) -> Response:
    return FastJson([_described(each) for each in sandbox_of(request).contexts.all()])


async def _restart(request: Request) -> Response:
    await sandbox_of(request).contexts.find(request.path_params["context"]).close()
    return Response(status_code=204)


async def _remove(request: Request) -> Response:
    await sandbox_of(request).contexts.remove(request.path_params["context"])
    return Response(status_code=204)


async def _health(_: Request) -> Response:
    return PlainTextResponse("OK")


def _described(context: CodeContext) -> dict[str, str]:
    return {"id": context.id, "language": context.language, "cwd": context.cwd}


ROUTES = [
    Route("/health", _health, methods=["GET"]),
    Route("/execute", _execute, methods=["POST"]),
    Route("/contexts", _create, methods=["POST"]),
    Route("/contexts", _list, methods=["GET"]),
    Route("/contexts/{context}/restart", _restart, methods=["POST"]),
    Route("/contexts/{context}", _remove, methods=["DELETE"]),
]
