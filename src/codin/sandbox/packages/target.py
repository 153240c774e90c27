"""For which Python packages are wanted, and from where."""

from __future__ import annotations

import os
import platform as machine
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from codin.sandbox.packages.errors import RequirementRefused

_FROM_WHERE = (
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"),
    *("UV_NO_INDEX", "UV_INDEX_STRATEGY", "UV_EXCLUDE_NEWER"),
)
_HOW = (
    *("UV_KEYRING_PROVIDER", "UV_INSECURE_HOST", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS"),
    *("UV_HTTP_TIMEOUT", "UV_HTTP_RETRIES", "UV_OFFLINE"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC", "HOME", "PATH"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
)
_PIP = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_NO_INDEX": "UV_NO_INDEX",
    "PIP_CERT": "SSL_CERT_FILE",
}
_CREDENTIALS = re.compile(r"UV_INDEX_\w+_(USERNAME|PASSWORD)")
_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")
_VERSION = re.compile(r"3\.\d{1,2}")
_PLATFORM = re.compile(r"[A-Za-z0-9_.-]{1,60}")


@dataclass(frozen=True, slots=True)
class Target:
    """A Python (``"3.11"``) and a platform, as uv names them. ``None``: those of this process.

    Raises:
        RequirementRefused: no version or platform looks so.
    """

    python: str | None = None
    platform: str | None = None

    def __post_init__(self) -> None:
        if self.python is not None and not _VERSION.fullmatch(self.python):
            raise RequirementRefused(f"a Python is named as '3.11', not {self.python!r}")
        if self.platform is not None and not _PLATFORM.fullmatch(self.platform):
            raise RequirementRefused(
                f"a platform is named as 'x86_64-manylinux_2_28', not {self.platform!r}"
            )

    @property
    def other(self) -> bool:
        """Whether it is another Python or platform than those of this process."""
        own = f"{sys.version_info.major}.{sys.version_info.minor}"
        return self.platform is not None or self.python not in {None, own}

    @property
    def arguments(self) -> list[str]:
        """What tells uv of it."""
        version = ["--python-version", self.python] if self.python else []
        where = ["--python-platform", self.platform] if self.platform else []
        return ["--python", sys.executable, *version, *where]

    def describe(self) -> dict[str, str]:
        """All that decides which wheels fit."""
        own = f"{sys.version_info.major}.{sys.version_info.minor}"
        here = "-".join((sys.platform, machine.machine(), *machine.libc_ver()))
        return {
            "implementation": sys.implementation.cache_tag or sys.implementation.name,
            "python": self.python or own,
            "platform": self.platform or here,
        }


def index_environment(
    index: str | None, environ: Mapping[str, str] = os.environ, *, pip: bool = False
) -> dict[str, str]:
    """The variables by which uv finds the index: its own, from the operator's environment.

    ``index`` is the URL of the one index to ask instead. With ``pip``, those of pip count too,
    where uv's say nothing.
    """
    if pip:
        meant = {name: environ[own] for own, name in _PIP.items() if environ.get(own)}
        environ = {**meant, **environ}
    given = {name: environ[name] for name in (*_FROM_WHERE, *_HOW) if environ.get(name)}
    given |= {name: value for name, value in environ.items() if _CREDENTIALS.fullmatch(name)}
    if index is None:
        return given
    kept = {name: value for name, value in given.items() if name not in _FROM_WHERE}
    return {**kept, "UV_DEFAULT_INDEX": index}


def index_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """What of these decides which packages are found, without what is secret."""
    return {name: redact(environment[name]) for name in _FROM_WHERE if name in environment}


def redact(text: str) -> str:
    """``text`` without user names and passwords in URLs."""
    return _IN_URL.sub("", text)
