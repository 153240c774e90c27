"""Tasks: their log, how one is run, and how a goal is planned and dispatched."""
