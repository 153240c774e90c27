"""The platform's settings: `codin.toml`, the environment, and flags, in one typed model."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import (
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from codin.config._anchored import anchored
from codin.config.agents import AgentEntry, CallSettings, RouterSettings, SupervisorSettings
from codin.config.commands import CommandName, CommandSettings
from codin.config.goals import GoalSettings
from codin.config.mcp import McpSettings
from codin.config.memory import MemorySettings
from codin.config.policies import PolicySettings
from codin.config.secrets import SecretName, SecretSettings
from codin.config.section import Section
from codin.config.tools import Namespace, OpenApiSettings
from codin.database import FILE_NAME
from codin.errors import InvalidInputError
from codin.security.settings import OidcSettings, PeerSettings, SignaturePolicy
from codin.security.targets import private_target

DEFAULT_FILE = "codin.toml"


class ConfigError(InvalidInputError):
    """The settings cannot be used; the message names the file, the key and what would do."""


class SandboxSettings(Section):
    """What sandboxes may do on this machine. ``private_network`` are exact ``host:port`` in private
    networks, or of this machine itself, that a sandbox may connect to where its own list has them
    too: without them it reaches public addresses only."""

    private_network: tuple[str, ...] = ()

    @field_validator("private_network")
    @classmethod
    def _private(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(private_target(entry)) for entry in entries)


class DatabaseSettings(Section):
    """Where tasks, push configs, API keys and the audit log are: in a file below the home, or in
    the Postgres database ``url``. ``durability`` is what an acknowledged write survives: the death
    of the process, or with "full" a loss of power too (Postgres: what its server is set to)."""

    url: str | None = None
    durability: Literal["process", "full"] = "process"

    @field_validator("url")
    @classmethod
    def _a_server(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("postgresql://", "postgres://")):
            raise ValueError("give postgresql://user:password@host/name")
        return url


class ServerSettings(Section):
    """Where the gateway is. ``public_url`` is where others reach it when that is not where it
    listens; ``root`` is the id of the agent to have in front instead of the orchestrator. A part
    whose content has more than ``inline_bytes`` is given as its address at the gateway."""

    host: str = "127.0.0.1"
    port: int = Field(default=8420, ge=0, le=65_535)
    grpc_port: int | None = Field(default=None, ge=0, le=65_535)
    public_url: str | None = None
    root: str | None = None
    certificate: Path | None = None
    certificate_key: Path | None = None
    inline_bytes: int = Field(default=32 * 1024 * 1024, ge=64 * 1024)

    @model_validator(mode="after")
    def _whole(self) -> ServerSettings:
        if (self.certificate is None) != (self.certificate_key is None):
            raise ValueError("give certificate and certificate_key, or neither")
        return self

    @field_validator("public_url")
    @classmethod
    def _an_origin(cls, url: str | None) -> str | None:
        if url is not None and not re.fullmatch(r"https?://[^/?#@\s]+/?", url):
            raise ValueError("give https://host or https://host:port, and no path")
        return url

    @property
    def address(self) -> str:
        """Where others reach it; what it is called in tokens and signatures."""
        if self.public_url is not None:
            return self.public_url.rstrip("/")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}"


class SecuritySettings(Section):
    """Who may come in, and where the platform goes.

    With ``auth`` every caller shows a key (``codin auth key add``) or a token: of this platform, of
    the identity provider ``oidc``, of another platform among ``peers``. ``outgoing`` names hosts
    and networks that are not public and may be connected to all the same. The cards of remote
    agents have to be signed (``cards = "require"``) by a key in one of the JWKS files
    ``card_keys``; "warn" says so in the log instead, and "off" does not look. ``keys`` is the
    folder of the signing keys, if it is not below the home: gateways behind one address share it.
    """

    auth: bool = False
    oidc: OidcSettings | None = None
    peers: tuple[PeerSettings, ...] = ()
    outgoing: tuple[str, ...] = ()
    cards: SignaturePolicy = "warn"
    card_keys: tuple[Path, ...] = ()
    keys: Path | None = None


class LimitSettings(Section):
    """What one caller may take of the gateway; 0 is no limit. A caller is a principal, over all
    bindings together, or the address of whoever shows no good credential.

    ``body_bytes`` bounds what a request carries. A caller has no more than ``requests`` under way,
    and besides no more than ``streams`` open. What it sends within a second, and the tasks that it
    begins within a minute, may come all at once. The defaults stop what no person does; where many
    share a gateway they want to be lower.
    """

    body_bytes: int = Field(default=1024 * 1024, ge=1024)
    requests: int = Field(default=1000, ge=0)
    streams: int = Field(default=2000, ge=0)
    requests_per_second: int = Field(default=10_000, ge=0)
    tasks_per_minute: int = Field(default=250_000, ge=0)
    anonymous_per_second: int = Field(default=100, ge=0)


class E2bSettings(Section):
    """Whether sandboxes are served to E2B's SDKs at ``/e2b``, and how much of them there is.

    A caller has no more than ``sandboxes`` at a time, none longer than ``seconds`` after time was
    last asked for. Each has ``memory_mb``, ``disk_mb`` and ``processes``. ``spare`` of them are
    kept ready, so that none has to be waited for. ``network`` are the ``host:port`` that they
    reach; ``upload_mb`` bounds one upload. Ports inside are reached by the names
    ``{port}-{sandbox}.{domain}``, where the domain is by default what the request for the sandbox
    named.
    """

    enabled: bool = False
    sandboxes: int = Field(default=50, ge=1)
    seconds: int = Field(default=86_400, ge=1)
    memory_mb: int = Field(default=1024, ge=64)
    disk_mb: int = Field(default=1024, ge=16)
    processes: int = Field(default=256, ge=8)
    spare: int = Field(default=4, ge=0, le=64)
    network: tuple[str, ...] = ()
    upload_mb: int = Field(default=100, ge=1)
    domain: str | None = Field(default=None, pattern=r"[A-Za-z0-9.-]+(:[0-9]{1,5})?")


class SearchSettings(Section):
    """How agents find tools among many: by words, and with ``meaning`` also by what is near in
    meaning, which needs the extra ``embed``."""

    meaning: bool = False


Limit = Annotated[int, Field(ge=0)]


class RunSettings(Section):
    """How many runs of agents each process has at a time: in all, of one tenant, of the agents
    named in ``agents``, and of all that run in one of the ``runtimes`` (``process``: its own,
    ``local`` and ``docker``: hosts there, ``http``: elsewhere); what has no room waits, and any
    process over the same database may take it. A process with ``at_once = 0`` takes tasks in and
    leaves them to others, as it does those of an agent or a runtime with 0."""

    at_once: int = Field(default=256, ge=0)
    per_tenant: int | None = Field(default=None, ge=1)
    agents: Mapping[str, Limit] = {}
    runtimes: Mapping[Literal["process", "local", "docker", "http"], Limit] = {}


def default_home() -> Path:
    """Where log, workspaces and sockets are: ``CODIN_HOME``, or the user's data folder."""
    if home := os.environ.get("CODIN_HOME"):
        return Path(home).expanduser().absolute()
    return Path(platformdirs.user_data_dir("codin", appauthor=False))


class Settings(Section):
    """All settings. Paths are absolute once loaded; ``data`` is shown read-only to every task."""

    model: str | None = None
    home: Path = Field(default_factory=default_home)
    data: tuple[Path, ...] = ()
    tools: tuple[Path, ...] = ()
    commands: Mapping[CommandName, CommandSettings] = {}
    openapi: Mapping[Namespace, OpenApiSettings] = {}
    mcp: Mapping[Namespace, McpSettings] = {}
    secrets: Mapping[SecretName, SecretSettings] = {}
    policies: tuple[PolicySettings, ...] = ()
    agents: tuple[AgentEntry, ...] = ()
    database: DatabaseSettings = DatabaseSettings()
    server: ServerSettings = ServerSettings()
    security: SecuritySettings = SecuritySettings()
    limits: LimitSettings = LimitSettings()
    sandbox: SandboxSettings = SandboxSettings()
    e2b: E2bSettings = E2bSettings()
    search: SearchSettings = SearchSettings()
    memory: MemorySettings = MemorySettings()
    goal: GoalSettings = GoalSettings()
    runs: RunSettings = RunSettings()
    routers: tuple[RouterSettings, ...] = ()
    supervisors: tuple[SupervisorSettings, ...] = ()
    calls: CallSettings = CallSettings()

    @model_validator(mode="after")
    def _own_namespaces(self) -> Settings:
        for name in sorted(self.openapi.keys() & self.mcp.keys()):
            raise ValueError(f"openapi.{name} and mcp.{name} have one name: rename one of them")
        return self

    @property
    def database_place(self) -> str | Path:
        """The address of the database, or its file below the home."""
        return self.database.url or self.home / FILE_NAME

    def with_server(self, **given: Any) -> Settings:
        """These settings, with what flags say of the server in them.

        Raises:
            ConfigError: one of them cannot be used.
        """
        return self._with("server", given)

    def with_goal(self, **given: Any) -> Settings:
        """These settings, with what flags say of goals in them.

        Raises:
            ConfigError: one of them cannot be used.
        """
        return self._with("goal", given)

    def _with(self, name: str, given: Mapping[str, Any]) -> Settings:
        section: Section = getattr(self, name)
        try:
            changed = type(section).model_validate({**section.model_dump(), **given})
        except ValidationError as error:
            raise ConfigError("; ".join(f"{name}.{each}" for each in _explain(error))) from None
        return self.model_copy(update={name: changed})


def load_settings(path: Path | None = None, **overrides: Any) -> Settings:
    """The settings of ``path``, or of ``codin.toml`` in the current folder where that exists.

    ``overrides`` are values from flags; ``None`` among them means: not given.

    Raises:
        ConfigError: the file is missing, is no TOML, or has keys or values that cannot be used.
    """
    file = path if path is not None else Path(DEFAULT_FILE)
    values: dict[str, Any] = {}
    if path is not None or file.is_file():
        values = _read(file)
        base = file.absolute().parent
        values = anchored(values, base)
    if model := os.environ.get("CODIN_MODEL"):
        values["model"] = model
    values |= {key: value for key, value in overrides.items() if value is not None}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{file}: " + "; ".join(_explain(error))) from None


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: is not TOML: {error}") from None


def _explain(error: ValidationError) -> list[str]:
    sentences = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            *section, key = problem["loc"]
            close = difflib.get_close_matches(str(key), _keys_of(section))
            close.sort(key=lambda known: known[0] != str(key)[0])  # few mistype the first letter
            hint = f"; did you mean {close[0]!r}?" if close else ""
            sentences.append(f"unknown key {where!r}{hint}")
        else:
            sentences.append(f"{where}: {problem['msg'].removeprefix('Value error, ')}")
    return sentences


def _keys_of(section: Sequence[int | str]) -> list[str]:
    """The keys that the section at this place has."""
    schema = Settings.model_json_schema()
    here = schema
    for part in section:
        inner = here["items"] if isinstance(part, int) else _below(here, part)
        options = [inner, *inner.get("anyOf", ()), *inner.get("allOf", ())]
        named = [one["$ref"] for one in options if "$ref" in one]
        here = schema["$defs"][named[0].rpartition("/")[2]] if named else inner
    return list(here.get("properties", ()))


def _below(schema: dict[str, Any], key: str) -> dict[str, Any]:
    """The schema of what is at ``key``, which may be a name that the user gave."""
    named: dict[str, Any] = schema.get("properties", {})
    patterns: dict[str, Any] = schema.get("patternProperties", {})
    given = next(iter(patterns.values()), schema.get("additionalProperties", {}))
    found = named.get(key, given)
    return found if isinstance(found, dict) else {}
