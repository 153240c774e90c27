"""Sandboxes that are containers: Docker, or Podman by Docker's API."""

from codin.sandbox.docker.provider import DockerSandboxProvider

__all__ = ["DockerSandboxProvider"]
