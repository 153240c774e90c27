"""Google ADK's agents, workflows and apps."""
