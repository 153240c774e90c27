"""envd's service ``process.Process``: commands, what they print, and what is sent to them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from codin.gateway.e2b.body import text_of
from codin.gateway.e2b.connect import (
    Message,
    client_stream,
    server_stream,
    silence_of,
    timeout_of,
    unary,
)
from codin.gateway.e2b.errors import BadRequest, NotServed
from codin.gateway.e2b.paths import absolute, check_user, sandbox_of
from codin.gateway.e2b.processes import Command, Ended, Follower, Running
from codin.gateway.e2b.sandboxes import ServedSandbox
from codin.sandbox.outcome import OutputChunk

_SIGNALS = {"SIGNAL_SIGTERM": 15, "SIGNAL_SIGKILL": 9, 15: 15, 9: 9}
_KEEPALIVE: Message = {"event": {"keepalive": {}}}


async def _start(request: Request, message: Message) -> AsyncGenerator[Message, None]:
    served = sandbox_of(request)
    check_user(request)
    if message.get("pty") is not None:
        raise NotServed("pseudo-terminals (pty) are not implemented by this service")
    running, follower = await served.processes.start(
        _command(message), stdin=bool(message.get("stdin", True)), timeout=timeout_of(request)
    )
    async with aclosing(_events(request, running, follower)) as events:
        async for event in events:
            yield event


async def _connect(request: Request, message: Message) -> AsyncGenerator[Message, None]:
    running = _selected(sandbox_of(request), message)
    async with aclosing(_events(request, running, running.follow())) as events:
        async for event in events:
            yield event


async def _events(
    request: Request, running: Running, follower: Follower
) -> AsyncGenerator[Message, None]:
    try:
        yield {"event": {"start": {"pid": running.pid}}}
        async for item in follower.items(silence_of(request)):
            yield _event(item)
    finally:
        running.leave(follower)


def _event(item: OutputChunk | Ended | None) -> Message:
    if item is None:
        return _KEEPALIVE
    if isinstance(item, OutputChunk):
        return {"event": {"data": {item.stream: base64.b64encode(item.data).decode()}}}
    end: Message = {"exitCode": item.exit_code, "exited": item.exited, "status": item.status}
    if item.error is not None:
        end["error"] = item.error
    return {"event": {"end": end}}


async def _list(request: Request, _: Message) -> Message:
    return {"processes": [_described(each) for each in sandbox_of(request).processes.all()]}


def _described(running: Running) -> Message:
    command = running.command
    config: Message = {
        "cmd": command.cmd,
        "args": list(command.args),
        "envs": dict(command.envs),
    }
    if command.cwd is not None:
        config["cwd"] = command.cwd
    tag = {} if command.tag is None else {"tag": command.tag}
    return {"pid": running.pid, "config": config, **tag}


async def _send_signal(request: Request, message: Message) -> Message:
    running = _selected(sandbox_of(request), message)
    number = _SIGNALS.get(message.get("signal", ""))
    if number is None:
        raise BadRequest(f"no signal that can be sent: {message.get('signal')!r:.40}")
    if number == 9:
        await running.kill()
    else:
        await running.process.signal(number)
    return {}


async def _send_input(request: Request, message: Message) -> Message:
    await _write(_selected(sandbox_of(request), message), message)
    return {}


async def _stream_input(request: Request, messages: AsyncIterator[Message]) -> Message:
    running: Running | None = None
    async for message in messages:
        if "start" in message:
            running = _selected(sandbox_of(request), message["start"])
        elif "data" in message:
            if running is None:
                raise BadRequest("input came before the start event that names its process")
            await _write(running, message["data"])
    return {}


async def _close_stdin(request: Request, message: Message) -> Message:
    await _selected(sandbox_of(request), message).process.close_stdin()
    return {}


async def _update(_: Request, __: Message) -> Message:
    raise NotServed("pseudo-terminals (pty) are not implemented by this service")


async def _write(running: Running, message: Message) -> None:
    given = message.get("input") or {}
    if "pty" in given:
        raise NotServed("pseudo-terminals (pty) are not implemented by this service")
    try:
        data = base64.b64decode(text_of(given, "stdin"), validate=True)
    except binascii.Error as error:
        raise BadRequest(f"input is not base64: {error}") from None
    await running.process.write(data)


def _selected(served: ServedSandbox, message: Message) -> Running:
    selector = message.get("process") or {}
    pid, tag = selector.get("pid"), selector.get("tag")
    if isinstance(pid, int):
        return served.processes.find(pid=pid)
    if isinstance(tag, str):
        return served.processes.find(tag=tag)
    raise BadRequest("a process is selected by its pid or its tag")


def _command(message: Message) -> Command:
    config: Any = message.get("process")
    if not isinstance(config, dict):
        raise BadRequest("process says what to start")
    args, envs = config.get("args") or [], config.get("envs") or {}
    if not isinstance(args, list) or not all(isinstance(arg, str) for arg in args):
        raise BadRequest("process.args is a list of texts")
    if not isinstance(envs, dict) or not all(isinstance(value, str) for value in envs.values()):
        raise BadRequest("process.envs is a map of texts")
    cwd = text_of(config, "cwd")
    return Command(
        cmd=text_of(config, "cmd"),
        args=args,
        envs=envs,
        cwd=absolute(cwd) if cwd else None,
        tag=message.get("tag") if isinstance(message.get("tag"), str) else None,
    )


ROUTES = [
    Route(f"/process.Process/{name}", endpoint, methods=["POST"])
    for name, endpoint in {
        "Start": server_stream(_start),
        "Connect": server_stream(_connect),
        "List": unary(_list),
        "SendSignal": unary(_send_signal),
        "SendInput": unary(_send_input),
        "StreamInput": client_stream(_stream_input),
        "CloseStdin": unary(_close_stdin),
        "Update": unary(_update),
    }.items()
]
