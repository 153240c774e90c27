"""The environment in which agents' modules are imported inside a host.

Provider SDKs read their base URL and key when a client is made, often at import. They are pointed
at the forwarder with a key that is worth nothing, so that agents written for a provider's own
service run unchanged and no provider key is ever inside.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from codin.sandbox.network.listener import proxy_environment

PLACEHOLDER_KEY = "codin-run"
"""What stands where a provider's key would. The forwarder puts the run's token in its place."""


def provider_environment(port: int) -> dict[str, str]:
    """The variables that send each provider's SDK to the forwarder on ``port``."""
    root = f"http://127.0.0.1:{port}"
    return {
        "OPENAI_BASE_URL": f"{root}/v1",
        "OPENAI_API_BASE": f"{root}/v1",
        "OPENAI_API_KEY": PLACEHOLDER_KEY,
        "ANTHROPIC_BASE_URL": f"{root}/anthropic",
        "ANTHROPIC_API_KEY": PLACEHOLDER_KEY,
        "GOOGLE_GEMINI_BASE_URL": f"{root}/google",
        "GOOGLE_API_KEY": PLACEHOLDER_KEY,
        "GOOGLE_GENAI_USE_VERTEXAI": "false",
        # The way out, if there is one, is the proxy of the sandbox; the forwarder is inside.
        "NO_PROXY": "localhost,127.0.0.1,::1",
        "no_proxy": "localhost,127.0.0.1,::1",
    }


# Nothing of these could leave a host without a network; each would only be refused, and told.
QUIET = {
    "OTEL_INSTRUMENTATION_A2A_SDK_ENABLED": "false",
    "OTEL_SDK_DISABLED": "true",
    "AGNO_TELEMETRY": "false",
    "LANGSMITH_TRACING": "false",
    "OPENAI_AGENTS_DISABLE_TRACING": "true",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "PYTHONUNBUFFERED": "1",
}


def prepare_environment(environ: MutableMapping[str, str], port: int) -> None:
    """Set all of it in ``environ``. Has to happen before any agent's module is imported."""
    for name, ours in proxy_environment().items():
        if environ.get(name) != ours:  # of somewhere else, that is not to be reached from here
            environ.pop(name, None)
    for name, value in QUIET.items():
        environ.setdefault(name, value)
    environ.update(provider_environment(port))
