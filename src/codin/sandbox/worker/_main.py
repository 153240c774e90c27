"""The program inside a sandbox: reads requests, runs them, and sends back data.

It is loaded by path and needs the standard library and msgpack only. Output goes to its standard
output and error as it comes; frames go over a socket of their own, which code does not inherit.
What not every request needs is imported when it is needed: a start takes half the time.
"""

from __future__ import annotations

import io
import os
import sys
from types import AsyncGeneratorType, CodeType, CoroutineType, GeneratorType, ModuleType

from . import frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ._fork import Forks
    from ._python import PythonSession
    from ._shell import ShellSession

_PACKAGES = "/packages"
_WORKSPACE = "/workspace"
_READ = 64 * 1024
_HEAD = frames.LENGTH.size


class Program:
    """Serves one connection until it is closed."""

    def __init__(self, fd: int, max_frame: int) -> None:
        self._fd = fd
        self._max_frame = max_frame
        self._sessions: dict[tuple[str, str], PythonSession | ShellSession] = {}
        self._instances: dict[str, Any] = {}
        self._texts: dict[int, str] = {}
        self._codes: dict[tuple[str, int], CodeType] = {}
        self._modules: dict[tuple[str, int], ModuleType] = {}
        self._forks: Forks | None = None
        self._flag = 0
        self._came = b""

    def serve(self) -> None:
        """Answer requests, one at a time, until the other side has gone."""
        version = ".".join(map(str, sys.version_info[:3]))
        self._send({"t": "hello", "version": frames.VERSION, "python": version})
        import linecache  # noqa: F401 - nobody waits for it now, and the first text would

        while (request := self._receive()) is not None:
            self._answer(request)

    def _answer(self, request: dict[str, Any]) -> None:
        if "source" in request:
            self._texts[request["text"]] = request["source"]
        if request.get("fresh"):
            self._answer_in_a_copy(request)
        else:
            self._answer_here(request)

    def _answer_in_a_copy(self, request: dict[str, Any]) -> None:
        def child(fd: int) -> None:
            os.close(self._fd)
            self._fd, self._flag = fd, LAST
            self._answer_here(request)

        try:
            from ._fork import LAST, Forks

            if self._forks is None:
                self._forks = Forks(self._write, self._max_frame)
            if "text" in request:
                self._compiled(request["target"].partition(":")[0], request["text"])
            ended = self._forks.run(child)
        except BaseException as error:
            self._send({**_error(error), "id": request["id"]})
            return
        if ended is not None:
            message = f"the process of the call has ended ({ended})"
            answer = {"t": "error", "type": "ProcessEnded", "message": message}
            self._send({**answer, "traceback": "", "id": request["id"]})

    def _answer_here(self, request: dict[str, Any]) -> None:
        number = request["id"]
        try:
            answer = self._handle(request)
        except BaseException as error:
            answer = _error(error)
        _flush()
        answer["id"] = number
        try:
            self._send(answer, self._flag)
        except Exception as error:
            self._send({**_error(error), "id": number}, self._flag)

    def _handle(self, request: dict[str, Any]) -> dict[str, Any]:
        kind = request["t"]
        if kind == "call":  # first, and all the way here: this is what most requests are
            function: Any = self._resolve(request)
        elif kind == "method":
            function = _public(self._instances[request["instance"]], request["method"])
        elif kind == "construct":
            self._instances[request["instance"]] = _invoke(self._resolve(request), request)
            return {"t": "done", "value": None}
        elif kind == "code":
            session = self._session(request["language"], request["session"])
            value, error = session.run(request["code"])
            return {"t": "done", "value": value, "error": error}
        elif kind == "preload":
            for name in ("ctypes", *request["modules"]):
                __import__(name)
            return {"t": "done", "value": None}
        else:
            raise ValueError(f"no request of kind {kind!r}")
        return self._done(_invoke(function, request), request["id"])

    def _done(self, value: Any, number: int) -> dict[str, Any]:
        if isinstance(value, AsyncGeneratorType):
            import asyncio

            asyncio.run(self._stream(value, number))
        elif isinstance(value, GeneratorType):
            emit = self._emitter(number)
            # what runs within a generator has something to say before that can yield
            setattr(sys.modules[__package__], "emit", emit)  # noqa: B010
            for item in value:
                emit(item)
        else:
            return {"t": "done", "value": value}
        return {"t": "done", "stream": True}

    def _emitter(self, number: int) -> Callable[[Any], None]:
        def emit(item: Any) -> None:
            _flush()
            self._send({"t": "item", "id": number, "value": item})

        return emit

    async def _stream(self, items: Any, number: int) -> None:
        async for item in items:
            self._send({"t": "item", "id": number, "value": item})

    def _session(self, language: str, name: str) -> PythonSession | ShellSession:
        key = (language, name)
        if key not in self._sessions:
            self._sessions[key] = _new_session(language)
        return self._sessions[key]

    def _resolve(self, request: dict[str, Any]) -> Any:
        name, _, path = request["target"].partition(":")
        found: Any = self._module(name, request.get("text"))
        for part in path.split("."):
            found = _public(found, part)
        return found

    def _module(self, name: str, text: int | None) -> ModuleType:
        if text is None:
            __import__(name)
            return sys.modules[name]
        module = self._modules.get((name, text))
        if module is None:
            code, module = self._compiled(name, text), ModuleType(name)
            sys.modules[name] = module  # dataclasses and pickling look their module up there
            exec(code, module.__dict__)  # noqa: S102
            self._modules[name, text] = module
        return module

    def _compiled(self, name: str, text: int) -> CodeType:
        code = self._codes.get((name, text))
        if code is None:
            import linecache

            source, file = self._texts[text], f"<{name}>"
            linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
            code = self._codes[name, text] = compile(source, file, "exec")
        return code

    def _send(self, message: dict[str, Any], flag: int = 0) -> None:
        data = frames.pack(message, limit=self._max_frame)
        if flag:
            data = frames.LENGTH.pack((len(data) - frames.LENGTH.size) | flag) + data[4:]
        self._write(data)

    def _write(self, data: bytes | memoryview) -> None:
        written = os.write(self._fd, data)
        while written < len(data):
            written += os.write(self._fd, memoryview(data)[written:])

    def _receive(self) -> dict[str, Any] | None:
        came = self._came or os.read(self._fd, _READ)
        if len(came) >= _HEAD and len(came) == _HEAD + frames.LENGTH.unpack_from(came)[0]:
            self._came = b""  # one that came alone and whole, as most do
            return frames.unpack(came[_HEAD:])
        if not came:
            return None
        self._came = came
        head = self._take(_HEAD)
        body = None if head is None else self._take(frames.LENGTH.unpack(head)[0])
        return None if body is None else frames.unpack(body)

    def _take(self, size: int) -> bytes | None:
        """So many bytes of what has come, or nothing at the end."""
        parts, here = [self._came], len(self._came)
        while here < size:
            data = os.read(self._fd, max(_READ, min(size - here, 1 << 20)))
            if not data:
                return None
            parts.append(data)
            here += len(data)
        data = b"".join(parts)
        self._came = data[size:]
        return data[:size]


def _new_session(language: str) -> PythonSession | ShellSession:
    if language == "python":
        from ._python import PythonSession

        return PythonSession()
    if language == "bash":
        from ._shell import ShellSession

        return ShellSession()
    raise ValueError(f"no language {language!r}")


def _invoke(function: Any, request: Mapping[str, Any]) -> Any:
    value = function(*request["args"], **request["kwargs"])
    if isinstance(value, CoroutineType):
        import asyncio

        return asyncio.run(value)
    return value


def _public(owner: Any, name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"{name!r} is not to be reached from outside")
    return getattr(owner, name)


def _error(error: BaseException) -> dict[str, Any]:
    from ._python import format_error

    return {
        "t": "error",
        "type": type(error).__name__,
        "message": str(error)[:10_000],
        "traceback": format_error(error)[-100_000:],
    }


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: S112 - code may have closed or replaced it
            continue


def main(fd: int, max_frame: int) -> None:
    """Serve the connection that is open at descriptor ``fd``."""
    os.set_inheritable(fd, False)
    # Started isolated, Python does not hear PYTHONUNBUFFERED; who watches sees each line as it is.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    if os.path.isdir(_PACKAGES):
        sys.path.insert(0, _PACKAGES)
    sys.path.insert(0, _WORKSPACE)
    Program(fd, max_frame).serve()
