"""Shell commands as tools."""
