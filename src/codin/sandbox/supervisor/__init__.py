"""A small program inside a place where commands share one machine: it starts and ends them."""
