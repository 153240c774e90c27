"""What on this machine forbids user namespaces, and how that is changed."""

from __future__ import annotations

import os
from pathlib import Path

_ROOT = Path("/")
# A file of the kernel's settings, the value that forbids, whether to root too, and what to do.
_SETTINGS = (
    (
        "proc/sys/user/max_user_namespaces",
        "0",
        True,
        "there may be no user namespaces: sysctl -w user.max_user_namespaces=15000",
    ),
    (
        "proc/sys/kernel/unprivileged_userns_clone",
        "0",
        False,
        "users may make no namespaces: sysctl -w kernel.unprivileged_userns_clone=1",
    ),
    (
        "proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        False,
        "AppArmor keeps users from namespaces: sysctl -w "
        "kernel.apparmor_restrict_unprivileged_userns=0, or a profile that allows bwrap `userns`",
    ),
)
_IN_CONTAINER = (
    "this runs in a container: it may make namespaces when that was started with "
    "--security-opt seccomp=unconfined --security-opt apparmor=unconfined (as root also with "
    "--cap-add SYS_ADMIN --security-opt systempaths=unconfined)"
)


def advice(root: Path = _ROOT, *, user: int | None = None) -> str:
    """What to change so that namespaces can be made; empty when nothing is found.

    It begins with what puts it behind another sentence.
    """
    as_root = (os.geteuid() if user is None else user) == 0
    for name, forbids, root_too, what in _SETTINGS:
        if (root_too or not as_root) and _read(root / name) == forbids:
            return f"; {what}"
    if (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        return f"; {_IN_CONTAINER}"
    return ""


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
