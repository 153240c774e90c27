"""A platform that serves sandboxes, in a thread of its own: the SDKs' blocking half blocks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codin.config import E2bSettings, SandboxSettings, SecuritySettings, ServerSettings, Settings
from codin.gateway.opening import open_platform
from codin.gateway.platform import Platform
from codin.gateway.serving import serve, with_e2b
from codin.model import parse
from codin.security import KeyRequest, Principal

NO_MODEL = parse("openai:none", {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})


@dataclass
class Service:
    """A running platform, and how the SDKs are told of it."""

    url: str
    platform: Platform
    loop: asyncio.AbstractEventLoop
    key: str = "any"

    @property
    def options(self) -> dict[str, Any]:
        base = f"{self.url}/e2b"
        return {"api_url": base, "sandbox_url": base, "api_key": self.key}

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def new_key(self, tenant: str, subject: str, role: str = "user") -> str:
        owner = Principal(tenant, "owner", frozenset({"owner"}))
        request = KeyRequest(subject, frozenset({role}))
        return self.run(self.platform.trust.store.keys.add(owner, request))[1]


@contextmanager
def running(
    home: Path, *, auth: bool = False, sandbox: SandboxSettings | None = None, **e2b: Any
) -> Iterator[Service]:
    """A platform with the service, until the block is left."""
    settings = Settings(
        home=home,
        server=ServerSettings(port=0),
        security=SecuritySettings(auth=auth),
        sandbox=sandbox or SandboxSettings(),
        e2b=E2bSettings(enabled=True, **e2b),
    )
    ready = threading.Event()
    found: list[Service] = []
    failed: list[BaseException] = []
    stop: list[asyncio.Event] = []

    async def main() -> None:
        stop.append(asyncio.Event())
        async with (
            open_platform(settings, NO_MODEL) as platform,
            with_e2b(platform.parts(), settings) as parts,
            serve(parts, settings.server, guarded=auth) as served,
        ):
            found.append(Service(served.url, platform, asyncio.get_running_loop()))
            ready.set()
            await stop[0].wait()

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            failed.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="platform")
    thread.start()
    ready.wait(60)
    try:
        if failed:
            raise failed[0]
        yield found[0]
    finally:
        if found:
            found[0].loop.call_soon_threadsafe(stop[0].set)
        thread.join(60)
    assert not thread.is_alive()
    if failed:
        raise failed[0]
