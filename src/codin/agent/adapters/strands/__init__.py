"""Strands' agents, swarms and graphs."""
