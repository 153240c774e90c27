"""Which tools an agent is given, and how it finds others."""
