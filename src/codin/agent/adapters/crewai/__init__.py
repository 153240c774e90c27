"""CrewAI's agents, crews and flows."""
