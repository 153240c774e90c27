"""What every provider of this machine's sandboxes refuses before it makes one."""

from __future__ import annotations

from codin.sandbox.base import LIMITED, Isolation, SandboxSpec, SandboxSupport
from codin.sandbox.errors import SandboxUnavailable

_ORDER = list(Isolation)


def check_support(spec: SandboxSpec, support: SandboxSupport, *, stronger: str) -> None:
    """See that what was found on this machine is what ``spec`` asks for; nothing weaker will do.

    ``stronger`` says where a level above this one is to be had.

    Raises:
        SandboxUnavailable
    """
    if not support.available:
        raise SandboxUnavailable(support.reason)
    if _ORDER.index(spec.least) > _ORDER.index(support.isolation):
        raise SandboxUnavailable(
            f"these sandboxes give isolation {support.isolation.value!r}, and "
            f"{spec.least.value!r} was asked for: {stronger}"
        )
    if spec.limits.network == "open":
        raise SandboxUnavailable(
            "a sandbox opens no network: it would be this machine's own, with whatever listens on "
            "its loopback; name what is needed, as network=('example.com:443',)"
        )
    asked = {name for name in LIMITED if getattr(spec.limits, name) is not None} | {"network"}
    asked |= {"cpus"} if spec.limits.cpus is not None else set()
    if missing := asked - support.enforced:
        raise SandboxUnavailable(
            f"these limits cannot be enforced here: {', '.join(sorted(missing))}; "
            "set them to None to go without, or run where they can"
        )
