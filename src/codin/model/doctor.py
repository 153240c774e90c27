"""What models this machine can use, for `codin doctor`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from codin.model import catalog
from codin.model.errors import ModelError


@dataclass(frozen=True, slots=True)
class ModelReport:
    """One way to a model: whether it is open, and if not, what opens it."""

    provider: str
    available: bool
    detail: str
    chosen: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


async def describe_models(
    explicit: str | None = None, *, env: Mapping[str, str] | None = None
) -> list[ModelReport]:
    """Every way to a model, in the order in which they are tried. Never raises."""
    env = os.environ if env is None else env
    try:
        chosen: catalog.ModelChoice | None = await catalog.discover(explicit, env=env)
    except ModelError:
        chosen = None
    reports = [_hosted(provider, env) for provider in ("openai", "anthropic", "google")]
    reports.append(await _ollama(env))
    reports.append(_embedded(env))
    return [
        ModelReport(
            r.provider, r.available, r.detail, chosen is not None and r.provider == chosen.provider
        )
        for r in reports
    ]


def _hosted(provider: str, env: Mapping[str, str]) -> ModelReport:
    choice = catalog.parse(provider, env)
    if provider == "openai" and env.get("OPENAI_BASE_URL"):
        return ModelReport(provider, True, f"OPENAI_BASE_URL is {choice.base_url}")
    keys = " or ".join(catalog.key_names(provider))
    if catalog.api_key(choice, env):
        return ModelReport(provider, True, f"{choice.name} unless another is named")
    return ModelReport(provider, False, f"set {keys}")


async def _ollama(env: Mapping[str, str]) -> ModelReport:
    try:
        choice = await catalog.discover("ollama", env=env)
    except ModelError as error:
        return ModelReport("ollama", False, str(error))
    return ModelReport("ollama", True, f"{choice.name} at {choice.base_url}")


def _embedded(env: Mapping[str, str]) -> ModelReport:
    from codin.model.embedded import weights
    from codin.model.embedded.server import engine_installed

    file = weights.installed(env)
    if not engine_installed():
        return ModelReport("embedded", False, "pip install 'codin[local]'")
    if file is None:
        return ModelReport("embedded", False, "codin model pull")
    return ModelReport("embedded", True, f"{catalog.BASIC_LABEL}: {file}")
