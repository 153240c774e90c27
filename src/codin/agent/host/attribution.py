"""Which run a model request belongs to.

A host may serve several runs at once, while the SDK clients of its agents are made once, for all
of them. The current run is therefore a context variable, and the HTTP clients under the SDKs
write it into each request for the forwarder.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

RUN_HEADER = "x-codin-run"

current_run: ContextVar[str | None] = ContextVar("codin_current_run", default=None)
"""The key of the run in whose context the code runs; threads have it when context was copied."""

# The SDKs of 2026 are on httpx2 (openai, google-genai where it is there), older ones on httpx.
CLIENT_LIBRARIES = ("httpx", "httpx2")


def mark_model_requests(port: int) -> None:
    """Have every request of httpx and httpx2 to the forwarder's ``port`` carry its run.

    A library that is not imported yet is marked when it is, so that none is imported for this.
    """
    for library in CLIENT_LIBRARIES:
        module = sys.modules.get(library)
        if module is not None:
            _mark_clients(module, port)
        else:
            sys.meta_path.insert(0, _AfterImport(library, lambda m: _mark_clients(m, port)))


def _mark_clients(module: ModuleType, port: int) -> None:
    def mark(request: Any) -> None:
        run = current_run.get()
        if run is not None and request.url.host == "127.0.0.1" and request.url.port == port:
            request.headers[RUN_HEADER] = run

    send = module.Client.send
    async_send = module.AsyncClient.send

    @functools.wraps(send)
    def marked_send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        mark(request)
        return send(self, request, *args, **kwargs)

    @functools.wraps(async_send)
    async def marked_async_send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        mark(request)
        return await async_send(self, request, *args, **kwargs)

    vars_of: Any = module
    vars_of.Client.send = marked_send
    vars_of.AsyncClient.send = marked_async_send


class _AfterImport(MetaPathFinder):
    """Calls ``then`` with a module once it has been imported, and steps aside."""

    def __init__(self, name: str, then: Callable[[ModuleType], None]) -> None:
        self._name = name
        self._then = then

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _LoaderThen(spec.loader, self._then)
        return spec


class _LoaderThen(Loader):
    def __init__(self, loader: Loader, then: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._then = then

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._then(module)

    def __getattr__(self, name: str) -> Any:
        # importlib.resources and inspect ask a loader for more than the two verbs of importing.
        return getattr(self._loader, name)
