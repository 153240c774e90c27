"""Microsoft Agent Framework's agents and workflows."""
