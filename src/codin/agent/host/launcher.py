"""The platform's side of agent hosts: start them and end them."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from codin.agent.host.containers import open_to_containers
from codin.agent.host.hosted import HostedAgent
from codin.agent.host.journal import Journal
from codin.agent.host.packages import PLATFORMS, Environment, Environments, Say
from codin.agent.host.process import HostProcess, HostState
from codin.agent.host.spec import AS_ALL, HostLimits, HostSpec
from codin.agent.host.wire import (
    AGENTS_INSIDE,
    INSIDE,
    PLATFORM_SOCKET,
    HostProblem,
    HostStartError,
)
from codin.runtime.base import Deployment, Runtime, Service
from codin.sandbox.base import MIB, Limits, Mount
from codin.sandbox.network.refusal import Refusal

HOST_LIMITS = Limits(
    memory_bytes=2048 * MIB, processes=256, wall_seconds=None, output_bytes=None, network=()
)
"""What one host may use when nothing else is said: two GiB, no network, as long as it likes.
An empty list, and not ``"none"``, so that what is refused says what to do about it."""


def _silent(text: str) -> None:
    """Say nothing."""


class AgentHost:
    """A host that was started: its agents, what it could not load, and its end."""

    def __init__(self, process: HostProcess) -> None:
        self._process = process
        self.agents = tuple(HostedAgent(info, process) for info in process.listing.agents)

    @property
    def name(self) -> str:
        return self._process.spec.name

    @property
    def problems(self) -> tuple[HostProblem, ...]:
        """What could not be loaded when the process was last started."""
        return _problems(self._process)

    @property
    def starts(self) -> int:
        """How often its process was started: 1 when nothing went wrong."""
        return self._process.starts

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """Connections that its network refused, since its process was last started."""
        return self._process.refusals

    @property
    def environment(self) -> str:
        """How its environment is called."""
        return self._process.spec.environment.label

    async def state(self) -> HostState:
        """How it is."""
        return await self._process.state()

    async def logs(self) -> list[str]:
        """The newest lines of its output."""
        return await self._process.logs()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that its agents are made of, as it says."""
        _, mounts = shown_inside(self._process.spec.sources)
        found = []
        for name in self._process.listing.files:
            for mount in mounts:
                inside = PurePosixPath(name)
                if inside.is_relative_to(mount.target) and ".." not in inside.parts:
                    found.append(mount.source / inside.relative_to(mount.target))
        return tuple(found)

    async def stop(self, why: str = "") -> None:
        """End it with everything in it; what runs on its agents fails, and says ``why``. Safe to
        call twice."""
        await self._process.stop(why)


class AgentHosts:
    """Starts agent hosts on a runtime, and ends them.

    Args:
        runtime: where hosts are deployed; it gives the sandbox.
        host_api_socket: the Unix socket on which the platform serves the host API.
        run_root: where the hosts' run directories are made, a temporary folder by default. Keep
            it short: the path of a Unix socket may have no more than some 100 bytes.
        limits: of each host, where it has none of its own.
        ready_seconds: how long a host may take to import its agents and answer.
        journals: the folder in which what hosts print is kept; without it, it goes with them.
        environments: what makes their packages.
    """

    def __init__(
        self,
        runtime: Runtime,
        host_api_socket: Path,
        *,
        run_root: Path | None = None,
        limits: Limits = HOST_LIMITS,
        ready_seconds: float = 60.0,
        journals: Path | None = None,
        environments: Environments | None = None,
    ) -> None:
        self._runtime = runtime
        self._socket = host_api_socket
        self._root = run_root
        self._limits = limits
        self._ready_seconds = ready_seconds
        self._journals = journals
        self._environments = environments or Environments()
        self._names: Counter[str] = Counter()
        self._hosts: list[AgentHost] = []

    @property
    def hosts(self) -> tuple[AgentHost, ...]:
        return tuple(self._hosts)

    async def start(
        self,
        sources: Sequence[str],
        *,
        name: str | None = None,
        mounts: Sequence[Mount] = (),
        env: Mapping[str, str] | None = None,
        network: Sequence[str] = (),
        environment: Environment = PLATFORMS,
        limits: HostLimits = AS_ALL,
        say: Say = _silent,
    ) -> AgentHost:
        """Start one host with the agents of ``sources``; returns when it is ready.

        Agents of one host share a process and trust each other. ``network`` are the ``host:port``
        that they may connect to, besides those of the limits of all hosts. In an ``environment``
        of their own they see its packages and what codin needs, and none of the platform's.
        ``limits`` go before those of all hosts. ``say`` is told in a line what is built for it.
        What could not be loaded is in ``problems``; the others are served.

        Raises:
            HostStartError: it did not get ready, or none of its agents could be loaded.
            InvalidInputError: an entry of ``network`` is no ``host:port``.
        """
        spec = HostSpec(
            self._unique(name or _name(sources)),
            tuple(sources),
            tuple(mounts),
            env or {},
            tuple(network),
            environment,
            limits,
        )
        self._limits_of(spec)
        process = HostProcess(
            spec, partial(self._deploy, say), run_root=self._root, journal=self._journal(spec.name)
        )
        try:
            await process.ensure()
            if not process.listing.agents:
                raise HostStartError(_nothing_loaded(spec, _problems(process)))
        except BaseException:
            await process.stop()
            raise
        process.watch()
        host = AgentHost(process)
        self._hosts.append(host)
        return host

    async def end(self, host: AgentHost, why: str = "") -> None:
        """End one host, for good. What runs on it fails, and says ``why``."""
        if host in self._hosts:
            self._hosts.remove(host)
        await host.stop(why)

    async def stop(self) -> None:
        """End every host. Safe to call twice."""
        hosts, self._hosts = self._hosts, []
        await asyncio.gather(*(host.stop() for host in hosts))
        await self._environments.close()

    def _unique(self, name: str) -> str:
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}-{self._names[name]}"

    def _journal(self, name: str) -> Journal | None:
        return None if self._journals is None else Journal(self._journals, name)

    async def _deploy(self, say: Say, spec: HostSpec, run_dir: str) -> Deployment:
        sources, mounts = shown_inside(spec.sources)
        told = partial(_told, say, spec.name)
        around = await self._environments.surroundings(spec.environment, told)
        service = Service(
            name=spec.name,
            argv=(*around.python, "-m", "codin.agent.host", "--end-with-stdin", *sources),
            run_dir=run_dir,
            mounts=(
                *mounts,
                *around.mounts,
                Mount(self._socket, f"{INSIDE}/{PLATFORM_SOCKET}", writable=True),
                *spec.mounts,
            ),
            env={"PYTHONUNBUFFERED": "1", **around.env, **spec.env},
            limits=self._limits_of(spec),
            ready_seconds=self._ready_seconds,
        )
        image = spec.environment.image
        if image is None:
            return await self._runtime.deploy(service)
        await asyncio.to_thread(open_to_containers, Path(run_dir), self._socket)
        return await self._environments.containers.runtime(image).deploy(service)

    def _limits_of(self, spec: HostSpec) -> Limits:
        limits, own = self._limits, spec.limits
        if own.memory_mb is not None:
            limits = replace(limits, memory_bytes=own.memory_mb * MIB)
        if own.processes is not None:
            limits = replace(limits, processes=own.processes)
        if own.cpus is not None:
            limits = replace(limits, cpus=own.cpus)
        of_all = limits.network
        if not spec.network or of_all == "open":
            return limits
        given = () if isinstance(of_all, str) else of_all
        return replace(limits, network=(*given, *spec.network))


def _told(say: Say, name: str, text: str) -> None:
    say(f"agent host {name}: {text}")


def shown_inside(sources: Iterable[str]) -> tuple[tuple[str, ...], tuple[Mount, ...]]:
    """Sources as the host sees them, and the read-only mounts that show them there.

    A file is shown with its folder, so that it can import its neighbours. ``module:attr`` stays.

    Raises:
        HostStartError: there is no such file.
    """
    inside: list[str] = []
    targets: dict[Path, str] = {}
    for source in sources:
        path, attribute = _split(source)
        if path is None:
            inside.append(source)
            continue
        folder = path if path.is_dir() else path.parent
        # With its own name: a package is imported by it, and an agent may be named after it.
        target = targets.setdefault(folder, f"{AGENTS_INSIDE}/{len(targets)}/{folder.name}")
        name = target if path.is_dir() else f"{target}/{path.name}"
        inside.append(f"{name}:{attribute}" if attribute else name)
    mounts = tuple(Mount(folder, target) for folder, target in targets.items())
    return tuple(inside), mounts


def _split(source: str) -> tuple[Path | None, str]:
    """The path of a source and its attribute; no path when it names a module."""
    name, _, attribute = source.partition(":")
    path = Path(name)
    if path.exists():
        return path.resolve(), attribute
    if path.suffix == ".py" or "/" in name:
        raise HostStartError(f"there is no agent file {name}: check the source {source!r}")
    return None, attribute


def _problems(process: HostProcess) -> tuple[HostProblem, ...]:
    """What a host could not load, with paths as they are outside."""
    _, mounts = shown_inside(process.spec.sources)

    def outside(text: str) -> str:
        for mount in mounts:
            text = text.replace(mount.target, str(mount.source))
        return text

    return tuple(
        HostProblem.model_construct(
            source=outside(problem.source),
            error_type=problem.error_type,
            message=outside(problem.message),
        )
        for problem in process.listing.problems
    )


def _name(sources: Sequence[str]) -> str:
    if not sources:
        raise HostStartError("an agent host needs at least one agent file or module:attr")
    path = Path(sources[0].partition(":")[0])
    name = path.parent.name if path.name == "agent.py" else path.stem
    return re.sub(r"[^A-Za-z0-9._-]", "-", name).strip(".-")[:64] or "agents"


def _nothing_loaded(spec: HostSpec, problems: Sequence[HostProblem]) -> str:
    reasons = "; ".join(_reason(problem, spec) for problem in problems)
    return f"no agent of {', '.join(spec.sources)} could be loaded: {reasons or 'none was found'}"


def _reason(problem: HostProblem, spec: HostSpec) -> str:
    """Why a source could not be loaded, without what is said already."""
    kind = "" if problem.error_type == "AgentLoadError" else f"{problem.error_type}: "
    source = "" if spec.sources == (problem.source,) else f"{problem.source}: "
    return f"{source}{kind}{problem.message}"
