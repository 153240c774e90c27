"""Agno's agents, teams and workflows."""
