"""Agents that are measured, each as people write it, and how their framework is driven without the
platform: ``agent`` is the wrapped one, ``direct(words)`` asks the framework itself."""
