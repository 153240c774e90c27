"""One adapter a framework. Each module imports its framework only when an agent runs."""
