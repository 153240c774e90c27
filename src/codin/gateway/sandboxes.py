"""The sandboxes of the settings: who makes them, and those of goals."""

from __future__ import annotations

from contextlib import AsyncExitStack

from codin.config import Settings
from codin.runtime import LocalRuntime, OmniRuntime
from codin.sandbox.base import SandboxProvider
from codin.sandbox.local import LocalSandboxProvider
from codin.sandbox.network import ProxyRoom
from codin.tool.session import GoalSandboxes
from codin.tool.workspace import Workspaces


def local_provider(settings: Settings) -> LocalSandboxProvider:
    """What makes sandboxes on this machine, with the network that the settings allow."""
    return LocalSandboxProvider(network=ProxyRoom(settings.sandbox.private_network))


async def open_sandboxes(
    stack: AsyncExitStack, settings: Settings
) -> tuple[SandboxProvider, OmniRuntime, GoalSandboxes]:
    """Who makes sandboxes, the runtime over it, and the sandboxes of goals; ended by ``stack``."""
    provider = local_provider(settings)
    stack.push_async_callback(provider.close)
    runtime = OmniRuntime({"local": LocalRuntime(provider)})
    stack.push_async_callback(runtime.close)
    workspaces = Workspaces(settings.home / "workspaces", data=settings.data)
    sandboxes = GoalSandboxes(provider, workspaces)
    stack.push_async_callback(sandboxes.close_all)
    return provider, runtime, sandboxes
