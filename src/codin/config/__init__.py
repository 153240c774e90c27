"""The platform's settings: `codin.toml`, the environment, and flags, in one typed model."""

from codin.config.agents import AgentEntry, CallSettings, RouterSettings, SupervisorSettings
from codin.config.commands import ArgumentSettings, CommandSettings
from codin.config.goals import GoalSettings
from codin.config.mcp import McpMount, McpSettings
from codin.config.memory import KeepSettings, MemorySettings, RecallSettings
from codin.config.policies import PolicySettings
from codin.config.secrets import SecretSettings
from codin.config.settings import (
    DEFAULT_FILE,
    ConfigError,
    DatabaseSettings,
    E2bSettings,
    LimitSettings,
    SandboxSettings,
    SearchSettings,
    SecuritySettings,
    ServerSettings,
    Settings,
    default_home,
    load_settings,
)
from codin.config.tools import OpenApiSettings

__all__ = [
    "DEFAULT_FILE",
    "AgentEntry",
    "ArgumentSettings",
    "CallSettings",
    "CommandSettings",
    "ConfigError",
    "DatabaseSettings",
    "E2bSettings",
    "GoalSettings",
    "KeepSettings",
    "LimitSettings",
    "McpMount",
    "McpSettings",
    "MemorySettings",
    "OpenApiSettings",
    "PolicySettings",
    "RecallSettings",
    "RouterSettings",
    "SandboxSettings",
    "SearchSettings",
    "SecretSettings",
    "SecuritySettings",
    "ServerSettings",
    "Settings",
    "SupervisorSettings",
    "default_home",
    "load_settings",
]
