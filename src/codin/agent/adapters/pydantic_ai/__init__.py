"""Pydantic AI's agents."""
