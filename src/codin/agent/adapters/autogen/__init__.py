"""AutoGen's agents and teams."""
