"""Large contents of tasks: stored once by what is in them, and referred to by the task log."""

from __future__ import annotations

from codin.task.artifacts.base import ArtifactStore, digest_of
from codin.task.artifacts.collecting import Collected, collect
from codin.task.artifacts.files import FileArtifacts
from codin.task.artifacts.inmemory import InMemoryArtifacts
from codin.task.artifacts.kept import Artifacts, Content
from codin.task.artifacts.opening import open_artifacts

__all__ = [
    "ArtifactStore",
    "Artifacts",
    "Collected",
    "Content",
    "FileArtifacts",
    "InMemoryArtifacts",
    "collect",
    "digest_of",
    "open_artifacts",
]
