"""Agents elsewhere, reached over A2A."""
