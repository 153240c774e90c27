"""Settings of servers of MCP, whose tools agents can be given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from codin.config.section import Section
from codin.security.secrets import SecretRef
from codin.security.targets import AllowList

_IN_SANDBOX = ("requirements", "env", "mounts", "network", "per", "memory_mb")
_OVER_HTTP = ("headers", "token")


class McpMount(Section):
    """A folder or file of this machine that a server sees at ``target``; read-only unless it is
    ``writable``."""

    source: Path
    target: str = Field(pattern=r"^/")
    writable: bool = False


class McpSettings(Section):
    """A server of MCP: a ``command`` that is started in a sandbox, or the ``url`` of one that runs.

    In its sandbox a server has the Python packages ``requirements``, the variables ``env`` (a text,
    or where a secret is) and nothing else of the platform's, its ``mounts``, and of the network the
    ``host:port`` in ``network``. It is one for all, with a folder of its own, or ``per = "goal"``
    one for each goal, in the goal's workspace. A server at a ``url`` is let in by ``headers`` and
    the bearer ``token``.

    ``tools`` are patterns of those that are taken, all without any. ``seconds`` is how long a call
    may take, ``attempts`` how often it is tried where it may be repeated, ``start_seconds`` how
    long the server may take to become ready, and ``schema_chars`` how large the schema of one
    tool may be. A tool that the server describes otherwise than at first is left out, unless
    ``accept_changes`` is set.
    """

    command: tuple[str, ...] = ()
    url: str | None = None
    requirements: tuple[str, ...] = ()
    env: Mapping[str, str | SecretRef] = {}
    mounts: tuple[McpMount, ...] = ()
    network: tuple[str, ...] = ()
    per: Literal["platform", "goal"] = "platform"
    memory_mb: int = Field(default=1024, ge=64)
    headers: Mapping[str, str | SecretRef] = {}
    token: SecretRef | None = None
    tools: tuple[str, ...] = ()
    seconds: float = Field(default=60.0, gt=0)
    attempts: int = Field(default=1, ge=1, le=10)
    start_seconds: float = Field(default=30.0, gt=0)
    schema_chars: int = Field(default=24_000, ge=1_000)
    accept_changes: bool = False

    @field_validator("network")
    @classmethod
    def _a_network(cls, network: tuple[str, ...]) -> tuple[str, ...]:
        return AllowList(network).entries

    @field_validator("url")
    @classmethod
    def _an_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.netloc or "@" in parts.netloc:
            raise ValueError("give http(s)://host/path, and secrets in headers or token")
        return url

    @model_validator(mode="after")
    def _one_kind(self) -> McpSettings:
        if bool(self.command) == (self.url is not None):
            raise ValueError("give a command, or the url of a server that runs: one of the two")
        wrong = _OVER_HTTP if self.command else _IN_SANDBOX
        for name in self.model_fields_set.intersection(wrong):
            kind = "a url" if self.command else "a command"
            raise ValueError(f"{name} is for a server that has {kind}")
        return self
